"""HTTP to the API server: kept connections, raw paths, bytes in and out, refusals as exceptions.

Nothing here parses a successful answer: who wants a typed object decodes the bytes with ``api.decode``. Requests have
connections of our own; watches, and all that goes through a proxy, are aiohttp's. Why, and what a request costs:
``docs/decisions/0004-api-client.md``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from kai_py.errors import ApiError, ForbiddenError, InputError, NotFoundError, UnavailableError
from kai_py.kube.access import Access, find_access
from kai_py.kube.connections import Connections
from kai_py.kube.observer import NOBODY, Observer
from kai_py.kube.status import error_of

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC_MERGE_PATCH: Final = "application/strategic-merge-patch+json"

#: Bounds one request as a whole. The server gives up by itself after 60 s; ours may be repeated, so we are shorter.
REQUEST_SECONDS: Final = 30.0
#: How many requests are in flight at once, and so how many connections there are; each watch has one more.
MAX_REQUESTS: Final = 128
#: How much of a watch's bytes may wait for us. A relisted server sends events in large bursts.
_READ_BUFFER: Final = 1 << 20

Params = Mapping[str, str | int]
Body = bytes | Mapping[str, Any] | msgspec.Struct
#: Raises when a request must not be sent (any more).
Fence = Callable[[], None]


def open_fence() -> None:
    """The fence of what anybody may send: reads, and the lease itself."""


class _Served(msgspec.Struct):
    name: str


class _ServedList(msgspec.Struct):
    resources: list[_Served] | None = None


class ApiClient:
    """A session with the API server. Close it, or use it with ``async with``; belongs to one event loop.

    Every method raises the tree under ``ApiError``: what the server refused by its status, and ``UnavailableError``
    with status 0 when there was no answer, in which case a write may or may not have happened.

    Attributes:
        observer: told about every answer; may be replaced.
    """

    def __init__(self, access: Access, *, max_requests: int = MAX_REQUESTS, observer: Observer = NOBODY) -> None:
        self._access = access
        self.observer = observer
        self._renewing = asyncio.Lock()
        # Requests queue here and not in aiohttp's pool, where one could wait for long after its fence was asked.
        self._slots = asyncio.Semaphore(max_requests)
        self._agent = f"kai-py/{version('kai-py')}"
        self._connections = (
            Connections(access.host, access.ssl_context, access.server_hostname) if access.proxy is None else None
        )
        # aiohttp sets TCP_NODELAY and SO_KEEPALIVE on what it opens. A cookie jar would be searched on every request.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=access.ssl_context or True, keepalive_timeout=60, ttl_dns_cache=60
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            auto_decompress=False,
            read_bufsize=_READ_BUFFER,
            # ``Access`` has looked for a proxy. With trust_env aiohttp would look again on every request, in a thread,
            # and for a netrc file as well: that made a bind five times as expensive.
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; watches on them end with ``UnavailableError``."""
        if self._connections is not None:
            await self._connections.close()
        await self._session.close()

    async def get(self, path: str, *, params: Params | None = None, accept: str = JSON) -> bytes:
        """Read an object or a page of a list."""
        return await self.request("GET", path, params=params, accept=accept)

    async def get_object(self, path: str) -> dict[str, Any]:
        """Read one object with all its fields, as a PUT of it needs them."""
        obj: dict[str, Any] = msgspec.json.decode(await self.get(path))
        return obj

    async def post(self, path: str, body: Body, *, within: float = REQUEST_SECONDS) -> bytes:
        """Create an object, or act through a subresource such as ``binding``."""
        return await self.request("POST", path, body=body, within=within)

    async def put(self, path: str, body: Body, *, within: float = REQUEST_SECONDS) -> bytes:
        """Replace an object, or its status through the subresource."""
        return await self.request("PUT", path, body=body, within=within)

    async def patch(self, path: str, body: Body, *, content_type: str = MERGE_PATCH) -> bytes:
        """Change parts of an object."""
        return await self.request("PATCH", path, body=body, content_type=content_type)

    async def delete(self, path: str, body: Body | None = None) -> bytes:
        """Delete an object; ``body`` is its DeleteOptions."""
        return await self.request("DELETE", path, body=body)

    async def credentials(self, refused: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What another HTTP client needs to act as us (``Access.connection``).

        Args:
            refused: what the server has just refused: read them anew unless that was done meanwhile.

        Raises:
            InputError: they cannot be read any more.
        """
        async with self._renewing:
            found = await self._access.connection()
            if found == refused:
                await self._access.renew()
                found = await self._access.connection()
            return found

    async def served(self, group: str, version: str, plural: str) -> bool:
        """Whether the server knows this kind at the moment."""
        try:
            body = await self.get(f"/apis/{group}/{version}" if group else f"/api/{version}")
        except NotFoundError:
            return False
        found = msgspec.json.decode(body, type=_ServedList)
        return any(resource.name == plural for resource in found.resources or ())

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        params: Params | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        within: float = REQUEST_SECONDS,
        fence: Fence = open_fence,
    ) -> bytes:
        """Send one request and read the whole answer.

        Args:
            method: an HTTP method.
            path: absolute and already quoted.
            body: sent as it is when it is bytes, otherwise as JSON.
            params: the query, unquoted.
            content_type: of the body.
            accept: form of the answer.
            within: seconds for all of it, but for waiting until fewer than ``max_requests`` are in flight.
            fence: called at the last moment before each sending; what it raises is raised, and nothing is sent.
        """
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        async with self._slots:
            began = time.perf_counter()
            try:
                if self._connections is not None:
                    answer = await self._exchange(self._connections, method, path, params, headers, data, within, fence)
                else:
                    limits = aiohttp.ClientTimeout(total=within)
                    async with await self._send(method, path, params, headers, data, limits, fence) as response:
                        answer = await response.read()
            except ApiError as error:
                self.observer.answered(method, error.status, time.perf_counter() - began)
                raise
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.observer.answered(method, 0, time.perf_counter() - began)
                raise _unanswered(f"{method} {path}", error) from error
            self.observer.answered(method, 200, time.perf_counter() - began)
            return answer

    async def _exchange(
        self,
        connections: Connections,
        method: str,
        path: str,
        params: Params | None,
        headers: dict[str, str],
        data: bytes | None,
        within: float,
        fence: Fence,
    ) -> bytes:
        """Send over a connection of our own; once more with new credentials if those we have are refused."""
        target = f"{path}?{urlencode(params)}" if params else path
        headers["User-Agent"] = self._agent
        for last_try in (False, True):
            authorization = await self._access.authorization()
            if authorization is not None:
                headers["Authorization"] = authorization
            answer = await connections.send(method, target, headers, data, within=within, fence=fence)
            if 200 <= answer.status < 300:
                return answer.body
            retry_after = answer.headers.get("retry-after")
            error = error_of(answer.status, answer.body, request=f"{method} {path}", retry_after=retry_after)
            if last_try or error.status != 401:
                raise error
            await self._renew(authorization, error)
        raise AssertionError("the second try returns or raises")

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Params, accept: str = JSON, total: float, silence: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Read an answer piece by piece, as it arrives: a watch.

        Args:
            path: absolute and already quoted.
            params: the query, unquoted.
            accept: form of the answer.
            total: seconds after which it ends in any case.
            silence: seconds without a byte after which the connection counts as broken.
        """
        limits = aiohttp.ClientTimeout(total=total, sock_read=silence, sock_connect=REQUEST_SECONDS)
        begun = False
        try:
            async with await self._send("GET", path, params, {"Accept": accept}, None, limits, open_fence) as response:
                begun = True
                self.observer.answered("WATCH", 200, None)
                yield response.content.iter_any()
        except ApiError as error:
            if not begun:
                self.observer.answered("WATCH", error.status, None)
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if not begun:
                self.observer.answered("WATCH", 0, None)
            raise _unanswered(f"WATCH {path}", error) from error

    async def _send(
        self,
        method: str,
        path: str,
        params: Params | None,
        headers: dict[str, str],
        data: bytes | None,
        limits: aiohttp.ClientTimeout,
        fence: Fence,
    ) -> aiohttp.ClientResponse:
        """Send, once more with new credentials if those we have are refused; an answer that comes back is a success."""
        query = f"?{urlencode(params)}" if params else ""
        url = URL(f"{self._access.host}{path}{query}", encoded=True)
        headers["User-Agent"] = self._agent
        for last_try in (False, True):
            authorization = await self._access.authorization()
            if authorization is not None:
                headers["Authorization"] = authorization
            fence()
            response = await self._session.request(
                method,
                url,
                data=data,
                headers=headers,
                timeout=limits,
                allow_redirects=False,
                proxy=self._access.proxy,
                server_hostname=self._access.server_hostname,
            )
            if 200 <= response.status < 300:
                return response
            async with response:
                retry_after = response.headers.get("Retry-After")
                request = f"{method} {path}"
                error = error_of(response.status, await response.read(), request=request, retry_after=retry_after)
            if last_try or error.status != 401:
                raise error
            await self._renew(authorization, error)
        raise AssertionError("the second try returns or raises")

    async def _renew(self, refused: str | None, error: ApiError) -> None:
        """Renew the credentials once for all requests that were refused with them."""
        async with self._renewing:
            if await self._access.authorization() != refused:
                return
            try:
                await self._access.renew()
            except InputError as unreadable:
                message = f"{error}; and no new credentials: {unreadable}"
                raise ForbiddenError(message, status=error.status, reason=error.reason) from unreadable


def _unanswered(request: str, error: Exception) -> UnavailableError:
    return UnavailableError(f"{request}: no answer: {str(error) or type(error).__name__}")


async def connect(
    kubeconfig: str | None = None,
    context: str | None = None,
    *,
    in_cluster: bool | None = None,
    max_requests: int = MAX_REQUESTS,
    observer: Observer = NOBODY,
) -> ApiClient:
    """Open a session with the cluster that the arguments or the environment name (``access.find_access``).

    Raises:
        InputError: there is no usable configuration. The server need not be up.
    """
    access = await find_access(kubeconfig, context, in_cluster=in_cluster)
    return ApiClient(access, max_requests=max_requests, observer=observer)
