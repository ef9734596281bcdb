"""The HTTP server: one entry for every request, and its life on a port."""

from __future__ import annotations

import asyncio
import hmac
import logging
import ssl
from typing import Any, Final

import msgspec
from aiohttp import web

from kai_py.minicluster.refusals import (
    RefusedError,
    internal,
    method_not_allowed,
    no_such_path,
    too_large,
    unauthorized,
)
from kai_py.minicluster.storage import Storage

from . import discovery, reviews
from .faults import ConnectionCut, FaultInjector
from .handlers import Answer, Call, dispatch
from .media import JSON, Accept, encode, negotiate
from .openapi import OpenApi
from .routes import resource_route, split_target, watch_route
from .watches import WatchSession

_log = logging.getLogger(__name__)

MAX_BODY: Final = 3 * 1024 * 1024
VERSION: Final = {"major": "1", "minor": "36", "gitVersion": "v1.36.0+kai-py-mini-1", "platform": "linux/amd64"}
_DISCOVERY: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_HEALTH: Final = frozenset({"healthz", "livez", "readyz"})


class ApiServer:
    """Serves a storage over HTTP on one loopback port."""

    def __init__(
        self, storage: Storage, *, host: str, port: int, token: str | None, tls: ssl.SSLContext | None
    ) -> None:
        self.storage = storage
        self.host = host
        self.port = port
        self.faults = FaultInjector(storage.store, down=self.stop, up=self.start)
        self._token = token
        self._tls = tls
        self._openapi = OpenApi(storage.registry)
        self._web: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Port 0 becomes the port that was free, and stays it."""
        if self._listener is not None:
            return
        self._web = web.Server(
            self._handle, request_factory=_request, handler_cancellation=True, access_log=None, keepalive_timeout=75
        )
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            self._web, self.host, self.port, ssl=self._tls, backlog=1024, reuse_address=True
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and break every connection."""
        listener, served = self._listener, self._web
        self._listener = self._web = None
        if listener is None or served is None:
            return
        listener.close()
        for collection in self.storage.store.collections.values():
            collection.disconnect()
        for connection in served.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)  # an aborted transport closes its socket in the next turn of the loop
        await served.shutdown(timeout=1.0)
        await listener.wait_closed()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        accept = Accept()
        try:
            lost = await self.faults.before(request.method, request.path_qs)
            self._authenticate(request)
            accept = negotiate(request.headers.get("Accept", ""))
            response = await self._respond(request, accept)
            if lost is not None:
                lost()
        except RefusedError as refusal:
            return _refused(refusal)
        except ConnectionCut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            _log.exception("minicluster: %s %s failed", request.method, request.path_qs)
            return _refused(internal(repr(error)))
        return response

    def _authenticate(self, request: web.BaseRequest) -> None:
        if self._token is None or request.path.strip("/") in _HEALTH:
            return
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise unauthorized()

    async def _respond(self, request: web.BaseRequest, accept: Accept) -> web.StreamResponse:
        segments, query = split_target(request.raw_path)
        if not _is_resource(segments):
            return _response(self._other(request.method, segments, accept))
        route = resource_route(segments, query)
        if route.group == discovery.REVIEW_GROUP:
            body = await self._read(request)
            return _response(reviews.answer(request.method, route, body, request.headers.get("Content-Type", "")))
        endpoint = self.storage.registry.endpoint(route.group, route.version, route.plural)
        if request.method == "GET" and route.flag("watch") and not route.subresource:
            return await WatchSession(self.storage, endpoint, watch_route(route), accept).serve(request)
        body = await self._read(request)
        headers = request.headers
        call = Call(
            self.storage, route, endpoint, accept, body, headers.get("Content-Type", ""), headers.get("User-Agent", "")
        )
        return _response(dispatch(request.method, call), accept)

    async def _read(self, request: web.BaseRequest) -> bytes:
        if not request.can_read_body:
            return b""
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise too_large(MAX_BODY) from None

    def _other(self, method: str, segments: list[str], accept: Accept) -> Answer:
        if method == "POST" and segments[:2] == ["api", "v1"]:
            raise no_such_path()
        if method not in ("GET", "HEAD"):
            raise method_not_allowed()
        registry, address = self.storage.registry, f"{self.host}:{self.port}"
        aggregated = accept.shape == "APIGroupDiscoveryList" and segments in (["api"], ["apis"])
        match segments:
            case ["version"]:
                return Answer(encode(VERSION | {"goVersion": "", "compiler": "", "gitTreeState": ""}, accept))
            case [probe, *_] if probe in _HEALTH:
                return Answer(b"ok", media_type="text/plain")
            case ["api"]:
                data = discovery.aggregated(registry, core=True) if aggregated else discovery.core_versions(address)
            case ["apis"]:
                data = discovery.aggregated(registry, core=False) if aggregated else discovery.groups(registry)
            case ["apis", group]:
                data = discovery.group(registry, group)
            case ["api", version]:
                data = discovery.resources(registry, "", version)
            case ["apis", group, version]:
                data = discovery.resources(registry, group, version)
            case ["openapi", "v2"]:
                return Answer(self._openapi.v2())
            case ["openapi", "v3", *path]:
                return Answer(self._openapi.v3("/".join(path)))
            case []:
                data = {
                    "paths": [
                        "/api",
                        "/apis",
                        "/healthz",
                        "/livez",
                        "/openapi/v2",
                        "/openapi/v3",
                        "/readyz",
                        "/version",
                    ]
                }
            case _:
                raise no_such_path()
        return Answer(msgspec.json.encode(data), media_type=_DISCOVERY if aggregated else JSON)


def _is_resource(segments: list[str]) -> bool:
    if segments[:1] == ["api"]:
        return len(segments) > 2
    return segments[:1] == ["apis"] and len(segments) > 3


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]) -> web.BaseRequest:
    """A request as aiohttp would make it, with our limit for bodies."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)


def _response(answer: Answer, accept: Accept | None = None) -> web.Response:
    media_type = answer.media_type or (accept.media_type if accept else JSON)
    response = web.Response(body=answer.body, status=answer.status, headers={"Content-Type": media_type})
    for warning in answer.warnings:
        text = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{text}"')
    return response


def _refused(refusal: RefusedError) -> web.Response:
    headers = {"Content-Type": JSON}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="kai-py-minicluster"'
    return web.Response(body=msgspec.json.encode(refusal.body()), status=refusal.status, headers=headers)
