"""Kept connections to the API server for short requests: a third of what a general HTTP client costs.

Why not aiohttp, which carries watches: ``docs/decisions/0004-api-client.md``.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast
from urllib.parse import urlsplit

from kai_py.kube.answers import Answer, AnswerReader, BrokenAnswerError

#: A connection that was not used for so long is not used again; the server closes it after 90 s or more. Seconds.
KEPT: Final = 60.0
#: Bytes that are read at once. One connection has such a buffer for all of its life.
_BUFFER: Final = 1 << 14
#: How long closing may take, in seconds. It is a matter of a moment.
_GOODBYE: Final = 1.0
#: What may be sent twice, when a kept connection turns out to be closed.
_IDEMPOTENT: Final = ("GET", "PUT", "DELETE")

Fence = Callable[[], None]


class Connections:
    """A pool without a bound: the caller counts its requests. Belongs to one event loop.

    Args:
        host: scheme, host, perhaps a port and a path before all others.
        context: for https.
        server_hostname: name in the server's certificate, if it is not the host.
    """

    def __init__(self, host: str, context: ssl.SSLContext | None, server_hostname: str | None) -> None:
        parts = urlsplit(host)
        self._name = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._context = context
        self._server_hostname = server_hostname if context is not None else None
        self._prefix = parts.path
        self._host = parts.netloc.rpartition("@")[2]
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None, *, within: float, fence: Fence
    ) -> Answer:
        """Send a request and read the whole answer, whatever its status.

        Args:
            method: an HTTP method.
            target: path and query, quoted.
            headers: all but Host and Content-Length.
            body: sent as it is.
            within: seconds for all of it.
            fence: called at the last moment before each sending.

        Raises:
            OSError: no connection, or no whole answer; TimeoutError among these.
        """
        message = self._message(method, target, headers, body)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while True:
            connection, used = self._kept(), True
            if connection is None:
                async with asyncio.timeout_at(deadline):
                    connection, used = await self._connect(), False
            try:
                fence()
                self._wake_by(deadline)
                answer = await connection.exchange(message, deadline)
            except BrokenAnswerError:
                # The server has closed a kept connection when we began to use it again. At worst every kept one.
                if used and connection.untouched and method in _IDEMPOTENT and not self._closed:
                    continue
                raise
            except BaseException:
                connection.close()  # nobody else shall get it: not with an answer that is still to come
                raise
            if answer.reusable and connection.free:
                connection.since = loop.time()
                self._idle.append(connection)
            else:
                connection.close()
            return answer

    async def close(self) -> None:
        """Close all connections; requests on them fail."""
        self._closed = True
        self._idle.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for connection in (closing := list(self._open)):
            connection.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await asyncio.gather(*(connection.lost.wait() for connection in closing))

    def _message(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> bytes:
        lines = [f"{method} {self._prefix}{target} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
            raise ValueError("a line break within a header")
        return head.encode("latin-1") + b"\r\n\r\n" + (body or b"")

    def _kept(self) -> _Connection | None:
        """A connection that was used before, if one is left: the last one used is the warmest."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.free and now - connection.since < KEPT:
                return connection
            connection.close()
        return None

    async def _connect(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._open),
            self._name,
            self._port,
            ssl=self._context,
            server_hostname=self._server_hostname,
        )
        return connection

    # One timer for all requests. All may last equally long, mostly, so that it is seldom set; a timer for each would be
    # a tenth of what a request costs.

    def _wake_by(self, deadline: float) -> None:
        """Look after those that take too long at this time, or before."""
        if self._alarm is None or deadline < self._alarm.when():
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = asyncio.get_running_loop().call_at(deadline, self._end_late_ones)

    def _end_late_ones(self) -> None:
        self._alarm = None
        now = asyncio.get_running_loop().time()
        for connection in list(self._open):
            connection.expire(now)
        left = [connection.deadline for connection in self._open if not connection.free and connection.deadline > now]
        if left:
            self._wake_by(min(left))


class _Connection(asyncio.BufferedProtocol):
    """One request at a time.

    Args:
        open_ones: where it is, as long as it is open.

    Attributes:
        since: when it was used last, on the loop's clock.
        deadline: of the request that it has, or had last.
        lost: set when it is closed.
    """

    def __init__(self, open_ones: set[_Connection]) -> None:
        self.since = 0.0
        self.deadline = 0.0
        self.lost = asyncio.Event()
        self._all = open_ones
        self._buffer = memoryview(bytearray(_BUFFER))
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        self._answer: asyncio.Future[Answer] | None = None

    @property
    def free(self) -> bool:
        """Whether it can take a request."""
        return self._answer is None and self._transport is not None and not self._transport.is_closing()

    @property
    def untouched(self) -> bool:
        """Whether nothing at all has come as an answer to the last request."""
        return self._reader is None or not self._reader.begun

    async def exchange(self, message: bytes, deadline: float) -> Answer:
        """Send a request and wait for its answer.

        Raises:
            BrokenAnswerError: there is none; the connection is closed.
            TimeoutError: nor was there until :meth:`expire` was called.
        """
        if not self.free or self._transport is None:
            raise BrokenAnswerError("the server has closed the connection")
        self._reader = AnswerReader()
        self.deadline = deadline
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        try:
            return await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None

    def expire(self, now: float) -> None:
        """Give its request up if that has taken too long."""
        if self._answer is not None and not self._answer.done() and self.deadline <= now:
            self._answer.set_exception(TimeoutError())

    def close(self) -> None:
        """End it; under a request at once."""
        if self._answer is not None:
            self.abort()
        elif self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.BufferedProtocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by name
        self._all.add(self)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        waiting = self._answer
        if self._reader is None or waiting is None or waiting.done():
            self.close()  # nobody asked
            return
        try:
            answer = self._reader.feed(self._buffer[:nbytes])
        except BrokenAnswerError as error:
            waiting.set_exception(error)
            return
        if answer is not None:
            if self._reader.rest:
                self.close()
            waiting.set_result(answer)

    def eof_received(self) -> bool:
        """The server sends no more."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._all.discard(self)
        self.lost.set()
        waiting = self._answer
        if waiting is None or waiting.done() or self._reader is None:
            return
        try:
            if exc is not None:
                raise BrokenAnswerError(str(exc) or type(exc).__name__) from exc
            waiting.set_result(self._reader.end())
        except BrokenAnswerError as error:
            waiting.set_exception(error)
