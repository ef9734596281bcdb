"""HTTP/1.1 answers: bytes in as they arrive, one whole answer out. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Status line and headers, or the line before a chunk, are never longer than this from a server in its right mind.
LONGEST_HEAD: Final = 1 << 16

_HEXADECIMAL: Final = frozenset(b"0123456789abcdefABCDEF")


class BrokenAnswerError(ConnectionError):
    """What came is no answer, or only the beginning of one."""


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    Attributes:
        status: of HTTP.
        headers: names in lower case; of those that come twice the last one.
        body: without its transfer coding.
        reusable: whether another request may follow on the same connection.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    reusable: bool


class AnswerReader:
    """Puts one answer together (RFC 9112, sections 4, 6 and 7). Informational answers before it are passed over.

    Attributes:
        begun: whether a byte has come.
        rest: bytes after the answer; there should be none.
    """

    def __init__(self) -> None:
        self.begun = False
        self._data = bytearray()
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._persistent = True
        #: Bytes of the body; -1 until the connection ends; None while chunks come, or the head does.
        self._length: int | None = None
        self._chunked = False

    @property
    def rest(self) -> int:
        """Bytes that came after the answer; there should be none."""
        return len(self._data)

    def feed(self, data: bytes | memoryview) -> Answer | None:
        """Take bytes; the answer when they complete it.

        Raises:
            BrokenAnswerError: that is no HTTP/1.1.
        """
        self.begun = True
        self._data += data
        try:
            if not self._status and not self._read_head():
                return None
            whole = self._read_chunks() if self._chunked else self._read_plainly()
        except ValueError as error:
            raise BrokenAnswerError(f"not an HTTP/1.1 answer: {error}") from error
        return self._answer(reusable=self._persistent) if whole else None

    def end(self) -> Answer:
        """The connection has ended; the answer, if that is how it tells that it is complete.

        Raises:
            BrokenAnswerError: it is not.
        """
        if self._status and self._length == -1:
            return self._answer(reusable=False)
        raise BrokenAnswerError("the server has closed the connection")

    def _answer(self, *, reusable: bool) -> Answer:
        return Answer(self._status, self._headers, bytes(self._body), reusable)

    def _read_head(self) -> bool:
        """Read status and headers if they are there; tells whether they were."""
        while True:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                self._must_be_short()
                return False
            first, *lines = self._data[:end].decode("latin-1").split("\r\n")
            del self._data[: end + 4]
            protocol, _, rest = first.partition(" ")
            if protocol not in ("HTTP/1.1", "HTTP/1.0"):
                raise ValueError(first[:80])
            status = int(rest[:3])
            if status >= 200 or status == 101:
                break
        self._status, self._headers = status, _headers(lines)
        said = self._headers.get("connection", "").lower()
        self._persistent = "close" not in said if protocol == "HTTP/1.1" else "keep-alive" in said
        coding = self._headers.get("transfer-encoding", "").lower()
        if status in (204, 304):
            self._length = 0
        elif coding:
            if coding != "chunked":
                raise ValueError(f"transfer coding {coding[:40]}")
            self._chunked = True
        else:
            length = self._headers.get("content-length")
            self._length = -1 if length is None else _decimal(length)
        return True

    def _read_plainly(self) -> bool:
        if self._length is None or self._length < 0:
            self._body += self._data
            self._data.clear()
            return False
        if len(self._data) < self._length:
            return False
        self._body = self._data[: self._length]
        del self._data[: self._length]
        return True

    def _read_chunks(self) -> bool:
        while True:
            end = self._data.find(b"\r\n")
            if end < 0:
                self._must_be_short()
                return False
            size = _hexadecimal(self._data[:end].split(b";", 1)[0].strip())
            if not size:
                return self._read_trailers(end + 2)
            begin = end + 2
            if len(self._data) < begin + size + 2:
                return False
            if self._data[begin + size : begin + size + 2] != b"\r\n":
                raise ValueError("a chunk without its end")
            self._body += self._data[begin : begin + size]
            del self._data[: begin + size + 2]

    def _read_trailers(self, begin: int) -> bool:
        """After the last chunk: an empty line, before it perhaps headers that nobody needs."""
        if self._data[begin : begin + 2] == b"\r\n":
            del self._data[: begin + 2]
            return True
        end = self._data.find(b"\r\n\r\n", begin)
        if end < 0:
            self._must_be_short()
            return False
        del self._data[: end + 4]
        return True

    def _must_be_short(self) -> None:
        if len(self._data) > LONGEST_HEAD:
            raise ValueError("a head without an end")


def _headers(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:  # a dozen for each answer, so this is in one piece
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"header {line[:80]}")
        found[name.lower()] = value.strip()
    return found


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"Content-Length {text[:40]}")
    return int(text)


def _hexadecimal(digits: bytearray) -> int:
    if not _HEXADECIMAL.issuperset(digits):  # int() takes signs, underscores and 0x
        raise ValueError(f"chunk size {bytes(digits[:40])!r}")
    return int(digits, 16)
