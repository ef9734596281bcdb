"""The decision log over HTTP: read-only, for this machine alone unless it is told otherwise.

Whoever can reach another address than loopback must show a bearer token that the API server knows, and its owner must
have the verb ``get`` on the nonResourceURL ``/decisions``.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from kai_py.errors import ApiError
from kai_py.kube.reviews import Reviews, Verdict
from kai_py.telemetry.decision_log import FILTERS, LENGTH, DecisionLog

_log = structlog.get_logger()

PATH: Final = "/decisions"
_DEFAULT_LIMIT: Final = 100
_JSON: Final = "application/json"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name but ``localhost`` may mean any."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.asynccontextmanager
async def serving(
    log: DecisionLog, reviews: Reviews, address: tuple[str, int], leading: Callable[[], bool]
) -> AsyncIterator[int]:
    """Serve while the block runs; gives the port.

    Args:
        log: what is served.
        reviews: who may read it, if others than this machine can ask.
        address: host and port; port 0 is any that is free.
        leading: whether decisions are made here.

    Raises:
        OSError: the address cannot be used.
    """
    host, port = address
    app = web.Application()
    answer = _Answers(log, None if is_loopback(host) else reviews, leading)
    app.router.add_get(PATH, answer.decisions)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class _Answers:
    def __init__(self, log: DecisionLog, reviews: Reviews | None, leading: Callable[[], bool]) -> None:
        self._log = log
        self._reviews = reviews
        self._leading = leading

    async def decisions(self, request: web.Request) -> web.Response:
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        query = dict(request.query)
        try:
            since = _number(query.pop("since", "0"))
            limit = min(_number(query.pop("limit", str(_DEFAULT_LIMIT))), LENGTH)
        except ValueError:
            return _said(400, "since and limit should be whole numbers")
        if unknown := query.keys() - FILTERS:
            return _said(400, f"{', '.join(sorted(unknown))}: should be {', '.join([*FILTERS, 'since', 'limit'])}")
        items = self._log.entries(query, since=since, limit=limit)
        answer = {
            "apiVersion": "kai-py/v1",
            "kind": "DecisionList",
            "leader": self._leading(),
            "last": self._log.last,
            "items": items,
        }
        return web.Response(body=msgspec.json.encode(answer), content_type=_JSON)

    async def _refusal(self, request: web.Request) -> web.Response | None:
        if self._reviews is None:
            return None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return _said(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})
        try:
            verdict = await self._reviews.may_get(token.strip(), PATH)
        except ApiError as error:
            _log.warning("a request could not be reviewed", error=str(error))
            return _said(503, "the API server could not say whether this is allowed")
        if verdict is Verdict.UNKNOWN:
            return _said(401, "this token is not known", {"WWW-Authenticate": "Bearer"})
        if verdict is Verdict.FORBIDDEN:
            return _said(403, f"needs the verb get on the nonResourceURL {PATH}")
        return None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise ValueError(text)
    return int(text)


def _said(status: int, message: str, headers: dict[str, Any] | None = None) -> web.Response:
    body = msgspec.json.encode({"apiVersion": "kai-py/v1", "kind": "Error", "message": message})
    return web.Response(status=status, body=body, content_type=_JSON, headers=headers)
