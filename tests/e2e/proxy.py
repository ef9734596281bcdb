"""A proxy between a scheduler and its API server, embedded or real: what passes can be counted, held, refused or lost.

It speaks plain HTTP to the scheduler, so that nothing but its kubeconfig differs from production.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

_DROPPED = ("host", "content-length", "transfer-encoding", "connection")


@dataclass(frozen=True)
class Call:
    """A request of the scheduler: method, path with its query, body."""

    method: str
    path: str
    body: bytes

    @property
    def is_watch(self) -> bool:
        """Whether it waits for events."""
        return "watch=1" in self.path or "watch=true" in self.path

    @property
    def node(self) -> str:
        """The node that a binding asks for; empty if it is none."""
        return str(json.loads(self.body)["target"]["name"]) if self.path.endswith("/binding") else ""


@dataclass
class Answer:
    """What the proxy says instead of the server."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """As Kubernetes says it."""
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": self.status, "message": "injected"}
        return web.json_response(body, status=self.status, headers=self.headers)


class CutError(Exception):
    """Close the connection without a word."""


async def _nothing(call: Call) -> Answer | None:
    return None


class Proxy:
    """Forwards everything, until told otherwise.

    Attributes:
        kubeconfig: for the scheduler.
        before: called with each request before it is forwarded; may answer instead, or raise ``CutError``.
        after: the same after the server has answered; what it returns is the answer then.
        events: what becomes of a line of a watch.
        lag: seconds by which the lines of watches are late.
        token: which alone is accepted, if set; the server gets the one that it knows.
    """

    def __init__(self, upstream: Path, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.before: Callable[[Call], Awaitable[Answer | None]] = _nothing
        self.after: Callable[[Call], Awaitable[Answer | None]] = _nothing
        self.events: Callable[[Call, bytes], Iterable[bytes]] = lambda _, line: (line,)
        self.lag = 0.0
        self.token = ""
        self._document: dict[str, Any] = yaml.safe_load(upstream.read_text(encoding="utf-8"))
        self._cluster = self._document["clusters"][0]["cluster"]
        self._server = str(self._cluster["server"])
        self._ssl: ssl.SSLContext | None = None
        if authority := self._cluster.get("certificate-authority"):
            self._ssl = ssl.create_default_context(cafile=authority)
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._watches: set[asyncio.Transport] = set()
        self._connections: set[asyncio.Transport] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        """Listen for as long as the block lasts."""
        connector = aiohttp.TCPConnector(limit=0, ssl=self._ssl or True)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session:
            await self.start()
            cluster = {"server": f"http://127.0.0.1:{self._port}"}
            clusters = [{"name": self._document["clusters"][0]["name"], "cluster": cluster}]
            self.kubeconfig.write_text(yaml.safe_dump({**self._document, "clusters": clusters}), encoding="utf-8")
            try:
                yield self
            finally:
                await self.stop()

    async def start(self) -> None:
        """Be reachable, at the same address as before."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Break all connections, and refuse new ones."""
        self.break_watches()
        if self._runner is not None:
            server = self._runner.server
            await self._runner.cleanup()
            self._runner = None
            await asyncio.sleep(0.1)  # who was accepted meanwhile is there now
            for late in server.connections if server is not None else ():
                late.force_close()
            for transport in self._connections:
                transport.abort()
            self._connections.clear()
            await asyncio.sleep(0)  # an aborted transport closes its socket in the next turn of the loop

    def break_watches(self) -> None:
        """End all watches in the middle."""
        for transport in self._watches:
            transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            self._connections.add(request.transport)
        call = Call(request.method, request.raw_path, await request.read())
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return Answer(401).response()
        try:
            if (instead := await self.before(call)) is not None:
                return instead.response()
            return await (self._watch if call.is_watch else self._forward)(request, call)
        except (CutError, aiohttp.ClientError):
            if request.transport is not None:
                request.transport.abort()
            raise web.HTTPInternalServerError from None

    def _send(self, request: web.Request, call: Call) -> Any:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED}
        if self.token:
            headers["Authorization"] = f"Bearer {self._document['users'][0]['user'].get('token', '')}"
        return self._session.request(
            call.method,
            f"{self._server}{call.path}",
            data=call.body or None,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def _forward(self, request: web.Request, call: Call) -> web.StreamResponse:
        async with self._send(request, call) as answer:
            body = await answer.read()
            if (instead := await self.after(call)) is not None:
                return instead.response()
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
            return web.Response(status=answer.status, body=body, headers=headers)

    async def _watch(self, request: web.Request, call: Call) -> web.StreamResponse:
        transport, response = request.transport, web.StreamResponse()
        assert transport is not None
        self._watches.add(transport)
        try:
            async with self._send(request, call) as answer:
                response.set_status(answer.status)
                response.content_type = answer.content_type
                await response.prepare(request)
                while line := await _line(answer.content):
                    if self.lag:
                        await asyncio.sleep(self.lag)
                    for each in self.events(call, line):
                        await response.write(each)
                return response
        except ConnectionError:
            return response
        finally:
            self._watches.discard(transport)


async def _line(stream: aiohttp.StreamReader) -> bytes:
    """A line, however long."""
    line = b""
    while not line.endswith(b"\n"):
        piece = await stream.readany()
        if not piece:
            break
        line += piece
    return line
