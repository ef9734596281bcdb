from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.kube.answers import LONGEST_HEAD, Answer, AnswerReader, BrokenAnswerError

PIECES = st.lists(st.integers(1, 40), max_size=60)


def read(data: bytes, sizes: list[int]) -> tuple[Answer | None, AnswerReader]:
    """Feed bytes in pieces; the rest comes at once."""
    reader = AnswerReader()
    for size in [*sizes, len(data)]:
        piece, data = data[:size], data[size:]
        if piece and (answer := reader.feed(piece)) is not None:
            return answer, reader
    return None, reader


@given(st.binary(max_size=300), PIECES)
def test_an_answer_of_known_length_is_the_same_however_it_is_cut(body: bytes, sizes: list[int]):
    head = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    answer, reader = read(head + body, sizes)
    assert answer == Answer(
        201, {"content-type": "application/json", "content-length": str(len(body))}, body, reusable=True
    )
    assert reader.rest == 0


@given(st.lists(st.binary(min_size=1, max_size=90), max_size=5), PIECES, st.booleans())
def test_chunks_are_put_together_however_they_are_cut(chunks: list[bytes], sizes: list[int], trailers: bool):
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    data += b"".join(b"%X;name=value\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    data += b"0\r\n" + (b"Digest: x\r\n" if trailers else b"") + b"\r\n"
    answer, _ = read(data, sizes)
    assert answer is not None
    assert answer.body == b"".join(chunks)
    assert answer.reusable


def test_an_answer_without_a_length_ends_with_its_connection():
    answer, reader = read(b"HTTP/1.1 200 OK\r\n\r\nhalf and half", [30])
    assert answer is None
    assert reader.end() == Answer(200, {}, b"half and half", reusable=False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
def test_an_answer_that_breaks_off_is_none(data: bytes):
    answer, reader = read(data, [])
    assert answer is None
    assert reader.begun == bool(data)
    with pytest.raises(BrokenAnswerError):
        reader.end()


def test_an_informational_answer_is_passed_over():
    answer, _ = read(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", [])
    assert answer == Answer(204, {}, b"", reusable=True)


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
    ],
)
def test_a_connection_is_used_again_when_the_server_keeps_it(head: bytes, reusable: bool):
    answer, _ = read(head, [])
    assert answer is not None
    assert answer.reusable is reusable


def test_what_follows_an_answer_is_seen():
    answer, reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 408", [])
    assert answer is not None
    assert answer.body == b"ok"
    assert reader.rest == len(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
        b"x" * (LONGEST_HEAD + 1),
    ],
)
def test_what_is_no_answer_is_refused(data: bytes):
    with pytest.raises(BrokenAnswerError):
        read(data, [])
