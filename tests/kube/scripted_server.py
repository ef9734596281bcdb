"""An API server that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


def ok(body: object = None, status: int = 200) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(body if body is not None else {"kind": "Status", "status": "Success"}, status=status)

    return answer


def refusal(status: int, message: str = "no", *, causes: list[dict[str, str]] | None = None, **headers: str) -> Answer:
    body = {"kind": "Status", "message": message, "reason": f"R{status}", "code": status, "details": {"causes": causes}}

    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=status, headers=named)

    return answer


async def hang_up(request: web.Request) -> web.StreamResponse:
    """The connection breaks before an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def stream(*pieces: bytes, then: str = "close") -> Answer:
    """A watch that sends the pieces one by one; ``then`` is close, break or stay."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0.002)
        if then == "break":
            assert request.transport is not None
            request.transport.abort()
        if then == "stay":
            await asyncio.sleep(30)
        return response

    return answer


def event(kind: str, obj: object) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


@dataclass
class ScriptedServer:
    """Answers in the order given for a method and path; the last answer is repeated."""

    asked: list[Asked] = field(default_factory=list)
    script: dict[tuple[str, str], list[Answer]] = field(default_factory=lambda: defaultdict(list))
    url: str = ""

    def on(self, method: str, path: str, *answers: Answer) -> None:
        self.script[method, path] = list(answers)

    def requests(self, method: str, path: str = "") -> list[Asked]:
        return [a for a in self.asked if a.method == method and a.path.endswith(path)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        self.asked.append(Asked(request.method, request.path, dict(request.query), dict(request.headers), body))
        method = "WATCH" if request.query.get("watch") else request.method
        answers = self.script.get((method, request.path))
        if not answers:
            return await refusal(404, f"nothing scripted for {method} {request.path}")(request)
        return await (answers.pop(0) if len(answers) > 1 else answers[0])(request)

    async def start(self) -> TestServer:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        server = TestServer(app, host="127.0.0.1")
        # A scripted watch that stays open must not delay the end of the test.
        await server.start_server(shutdown_timeout=0.01)
        self.url = str(server.make_url("/")).rstrip("/")
        return server


def kubeconfig_text(url: str, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": url, **(cluster or {})}}],
            "users": [{"name": "u", "user": user or {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )


class Waits:
    """Replaces sleeping: remembers for how long, and does not wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that is about to happen."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # the condition is not ours to signal
            await asyncio.sleep(0.002)
