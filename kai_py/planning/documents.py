"""Files, folders and standard input to manifests, each with the place that it came from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TextIO

import msgspec
import yaml

from kai_py.planning.manifests import Sourced, Unreadable
from kai_py.settings.unique_keys import UniqueKeys

STDIN: Final = "-"
SUFFIXES: Final = (".yaml", ".yml", ".json")

#: Where a new YAML document begins. The marker counts wherever it starts a line, whatever surrounds it.
_MARKER: Final = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_DIRECTIVES: Final = re.compile(r"(\s*(%|#)[^\n]*(\n|$))*\s*")
# The parser in C reads ten times as fast; it comes with every common build of PyYAML.
_Parser: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_documents(paths: Iterable[str], stdin: TextIO) -> Iterator[Sourced]:
    """Read manifests.

    What cannot be read is an ``Unreadable`` at its place, so that it is reported together with all other faults.

    Args:
        paths: YAML or JSON files, folders of them (with the folders inside, in order of name), ``-`` for ``stdin``.
        stdin: where ``-`` reads.
    """
    for path in paths:
        if path == STDIN:
            yield from _from_text(_content(stdin), "standard input")
        else:
            yield from _from_path(Path(path))


def _from_path(path: Path) -> Iterator[Sourced]:
    if not path.is_dir():
        yield from _from_text(_content(path), str(path))
        return
    files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and not _is_hidden(file, path))
    if not files:
        yield Sourced(Unreadable(f"the folder holds no file that ends in {', '.join(SUFFIXES)}"), str(path))
    for file in files:
        yield from _from_text(_content(file), str(file))


def _is_hidden(file: Path, below: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(below).parts)


def _content(source: Path | TextIO) -> str | Unreadable:
    try:
        return source.read_text(encoding="utf-8-sig") if isinstance(source, Path) else source.read()
    except OSError as error:
        return Unreadable(error.strerror or str(error))
    except UnicodeDecodeError as error:
        return Unreadable(f"is not UTF-8 text: byte {error.start} cannot be read")


def _from_text(text: str | Unreadable, source: str) -> Iterator[Sourced]:
    """The documents of a text; a single JSON document is its source itself, the others are numbered."""
    if isinstance(text, Unreadable):
        yield Sourced(text, source)
        return
    is_json = source.endswith(".json")
    if is_json or text.lstrip()[:1] in ("{", "["):
        try:
            yield from _items(msgspec.json.decode(text), source)
        except (msgspec.DecodeError, RecursionError) as error:
            if is_json:
                yield Sourced(_not_json(text, error), source)
                return
            # YAML in flow style, or a mistake, whose line the YAML reader can tell
        else:
            return
    parts = list(_split(text))
    for number, (line, part) in enumerate(parts, start=1):
        yield from _items(_parsed(part, line), f"{source} document {number}" if len(parts) > 1 else source)


def _not_json(text: str, error: Exception) -> Unreadable:
    """What is wrong with a file of JSON; the parser of the standard library tells the line."""
    try:
        json.loads(text)
    except json.JSONDecodeError as mistake:
        return Unreadable(f"line {mistake.lineno}: is not JSON: {mistake.msg}")
    except RecursionError:
        pass
    return Unreadable(f"is not JSON: {error}")


def _split(text: str) -> Iterator[tuple[int, str]]:
    """The documents of a YAML stream and the lines before each, so that a fault in one does not hide the others."""
    starts = [0, *(match.start() for match in _MARKER.finditer(text))]
    ends = [*starts[1:], len(text)]
    for start, end in zip(starts, ends, strict=True):
        part = text[start:end]
        if start or not _DIRECTIVES.fullmatch(part):
            yield text.count("\n", 0, start), part


def _parsed(text: str, lines_before: int) -> object:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # a safe loader, only stricter
    except yaml.MarkedYAMLError as error:
        line = f"line {lines_before + error.problem_mark.line + 1}: " if error.problem_mark else ""
        return Unreadable(f"{line}is not YAML: {error.problem or error.context}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return Unreadable(f"is not YAML: {error}")


def _items(document: object, source: str) -> Iterator[Sourced]:
    """An object, or each of a plain list of them. A document of nothing but comments is no object."""
    if isinstance(document, list):
        yield from (Sourced(item, f"{source} item {number}") for number, item in enumerate(document, start=1))
    elif document is not None:
        yield Sourced(document, source)


class _Loader(UniqueKeys, _Parser):  # type: ignore[misc,valid-type]  # which of the two is only known when it runs
    """YAML as the API server understands it: a timestamp is text, and a key stands once."""


# JSON has no times: `creationTimestamp: 2026-01-01T00:00:00Z` is the text that it looks like.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_str)
