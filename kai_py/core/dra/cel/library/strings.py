"""Strings: the standard functions and version 2 of the strings extension (positions are code points)."""

from __future__ import annotations

from typing import Final

from kai_py.core.dra.cel.bounds import bounded, spend_characters
from kai_py.core.dra.cel.errors import EvaluationError
from kai_py.core.dra.cel.library.overload import overload
from kai_py.core.dra.cel.values import Value

#: Go's ``unicode.IsSpace``, which is not quite Python's ``str.isspace``.
_SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_LOWER: Final = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_UPPER: Final = {ord(letter): letter.upper() for letter in "abcdefghijklmnopqrstuvwxyz"}
_ESCAPES: Final = {
    ord(character): "\\" + escape for character, escape in zip('\a\b\f\n\r\t\v\\"', 'abfnrtv\\"', strict=True)
}


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise EvaluationError(f"index out of range: {index}")
    return text[index : index + 1]


def _contains(text: str, part: str) -> bool:
    spend_characters(len(text))
    return part in text


def _index_of(text: str, part: str, offset: int = 0) -> int:
    spend_characters(len(text))
    if offset < 0:
        raise EvaluationError(f"index out of range: {offset}")
    if not part:
        return min(offset, len(text))
    return text.find(part, offset)


def _last_index_of(text: str, part: str) -> int:
    spend_characters(len(text))
    return text.rfind(part)


def _last_index_of_before(text: str, part: str, offset: int) -> int:
    spend_characters(len(text))
    if offset < 0:
        raise EvaluationError(f"index out of range: {offset}")
    if not part:
        return min(offset, len(text))
    return text.rfind(part, 0, offset + len(part)) if offset < len(text) else -1


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    found = text.count(old) if count < 0 else min(count, text.count(old))
    bounded(len(text) + found * max(0, len(new) - len(old)))
    return text.replace(old, new, count)


def _split(text: str, separator: str, count: int = -1) -> list[Value]:
    bounded(len(text))
    if count == 0:
        return []
    if separator:
        return list(text.split(separator, count - 1 if count > 0 else -1))
    if 0 < count < len(text):
        return [*text[: count - 1], text[count - 1 :]]
    return list(text)


def _substring(text: str, start: int) -> str:
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    return text[start:]


def _substring_until(text: str, start: int, end: int) -> str:
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    if not (0 <= start <= len(text) and 0 <= end <= len(text)):
        raise EvaluationError(f"index out of range: {start if not 0 <= start <= len(text) else end}")
    return text[start:end]


def _join(parts: list[Value], separator: str = "") -> str:
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) != len(parts):
        raise EvaluationError("no such overload: join of a list with something other than strings")
    bounded(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _quote(text: str) -> str:
    bounded(len(text))
    return f'"{text.translate(_ESCAPES)}"'


OVERLOADS = (
    overload("<string>.contains(string) -> bool", _contains),
    overload("<string>.startsWith(string) -> bool", lambda text, part: text.startswith(part)),
    overload("<string>.endsWith(string) -> bool", lambda text, part: text.endswith(part)),
    overload("<string>.charAt(int) -> string", _char_at),
    overload("<string>.indexOf(string) -> int", _index_of),
    overload("<string>.indexOf(string, int) -> int", _index_of),
    overload("<string>.lastIndexOf(string) -> int", _last_index_of),
    overload("<string>.lastIndexOf(string, int) -> int", _last_index_of_before),
    overload("<string>.lowerAscii() -> string", lambda text: text.translate(_LOWER)),
    overload("<string>.upperAscii() -> string", lambda text: text.translate(_UPPER)),
    overload("<string>.replace(string, string) -> string", _replace),
    overload("<string>.replace(string, string, int) -> string", _replace),
    overload("<string>.split(string) -> list<string>", _split),
    overload("<string>.split(string, int) -> list<string>", _split),
    overload("<string>.substring(int) -> string", _substring),
    overload("<string>.substring(int, int) -> string", _substring_until),
    overload("<string>.trim() -> string", lambda text: text.strip(_SPACE)),
    overload("<list<string>>.join() -> string", _join),
    overload("<list<string>>.join(string) -> string", _join),
    overload("strings.quote(string) -> string", _quote),
)
