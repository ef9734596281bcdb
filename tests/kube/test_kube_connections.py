from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kai_py.kube.connections import Connections

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def nothing() -> None:
    """A fence that is open."""


@asynccontextmanager
async def serving(*turns: bytes | None) -> AsyncIterator[tuple[Connections, list[list[bytes]]]]:
    """A server that answers each request with the next turn, and hangs up where that is None; and what it was asked."""
    left, asked = list(turns), list[list[bytes]]()
    tasks = list[asyncio.Task[None] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        mine = list[bytes]()
        asked.append(mine)
        try:
            while left:
                head = await reader.readuntil(b"\r\n\r\n")
                mine.append(head)
                turn = left.pop(0)
                if turn is None:
                    break
                writer.write(turn)
                if left and left[0] == b"":
                    left.pop(0)
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        connections = Connections(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/prefix", None, None)
        try:
            yield connections, asked
        finally:
            await connections.close()
            await asyncio.wait_for(asyncio.gather(*filter(None, tasks)), 5)


async def send(connections: Connections, method: str) -> bytes:
    return (await connections.send(method, "/x", {"A": "b"}, None, within=5, fence=nothing)).body


async def test_one_connection_serves_one_request_after_the_other():
    async with serving(OK, OK, OK) as (connections, asked):
        assert [await send(connections, "POST") for _ in range(3)] == [b"ok"] * 3
    assert [len(one) for one in asked] == [3]
    assert asked[0][0].startswith(b"POST /prefix/x HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_an_idempotent_request_is_sent_again_when_its_kept_connection_is_closed():
    async with serving(OK, None, OK) as (connections, asked):
        await send(connections, "GET")
        assert await send(connections, "GET") == b"ok"
    assert [len(one) for one in asked] == [2, 1]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_what_may_have_been_executed_is_not_sent_again(method: str):
    async with serving(OK, None, OK) as (connections, asked):
        await send(connections, method)
        with pytest.raises(ConnectionError):
            await send(connections, method)
    assert [len(one) for one in asked] == [2]


async def test_a_new_connection_that_is_closed_is_an_error_at_once():
    async with serving(None, OK) as (connections, asked):
        with pytest.raises(ConnectionError):
            await send(connections, "GET")
    assert [len(one) for one in asked] == [1]


async def test_an_answer_that_breaks_off_is_not_asked_for_again():
    async with serving(OK, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal", b"", OK) as (connections, asked):
        await send(connections, "GET")
        with pytest.raises(ConnectionError):
            await send(connections, "GET")
    assert [len(one) for one in asked] == [2]


async def test_a_kept_connection_that_was_closed_meanwhile_is_not_used():
    async with serving(OK, b"", OK) as (connections, asked):
        await send(connections, "POST")
        await asyncio.sleep(0.02)
        assert await send(connections, "POST") == b"ok"
    assert [len(one) for one in asked] == [1, 1]


async def test_a_request_that_is_given_up_takes_its_connection_along():
    async with serving(b"", OK) as (connections, asked):
        with pytest.raises(TimeoutError):
            await connections.send("POST", "/x", {}, None, within=0.02, fence=nothing)
        assert await send(connections, "POST") == b"ok"
    assert [len(one) for one in asked] == [1, 1]


async def test_each_request_has_its_own_time():
    async def late(within: float) -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await connections.send("POST", "/x", {}, None, within=within, fence=nothing)
        return asyncio.get_running_loop().time() - began

    async with serving(b"", OK[:9], OK[:9], OK) as (connections, asked):
        waited = await asyncio.gather(late(0.3), late(0.02), late(0.1))
    assert waited[1] < waited[2] < waited[0]
    assert len(asked) == 3


async def test_a_closed_fence_sends_nothing():
    class ClosedError(Exception):
        pass

    def closed() -> None:
        raise ClosedError

    async with serving(OK, OK) as (connections, asked):
        await send(connections, "GET")
        with pytest.raises(ClosedError):
            await connections.send("POST", "/x", {}, None, within=5, fence=closed)
    assert [len(one) for one in asked] == [1]


async def test_a_header_cannot_begin_a_second_request():
    connections = Connections("http://127.0.0.1:1", None, None)
    with pytest.raises(ValueError, match="line break"):
        await connections.send("GET", "/x", {"A": "b\r\nHost: other"}, None, within=1, fence=nothing)
