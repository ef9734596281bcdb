"""The embedded cluster's workers (kubelets, drivers, controllers) for an API server that is not embedded.

They call synchronous verbs of a storage. Here those verbs are requests, so the workers get a thread of their own, where
nobody minds that they wait for an answer. A real control plane without a single node comes to life by that: pods that
are bound run and end, Jobs make pods, claims are made from templates and freed.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import yaml

from kai_py.errors import ApiError
from kai_py.kube.client import connect
from kai_py.minicluster import Worker
from kai_py.minicluster.kinds import BUILTIN
from kai_py.minicluster.options import DeleteOptions
from kai_py.minicluster.storage import Event, Storage

Object = dict[str, Any]

_KINDS = {kind.key: kind for kind in BUILTIN}
_MERGE = "application/merge-patch+json"


class Afar:
    """The verbs of ``kai_py.minicluster.Storage`` that workers use, as requests to a server.

    Args:
        kubeconfig: of an administrator, by token.

    Attributes:
        gates: features beyond the default ones that are on: none.
    """

    gates: AbstractSet[str] = frozenset()

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        cluster = document["clusters"][0]["cluster"]
        server = urlsplit(cluster["server"])
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._connection = http.client.HTTPSConnection(server.hostname or "", server.port, context=context, timeout=30)
        self._headers = {"Authorization": f"Bearer {document['users'][0]['user']['token']}"}

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def find(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """One object, or None."""
        try:
            return self.get(kind, name, namespace)
        except ApiError as error:
            if error.status != http.HTTPStatus.NOT_FOUND:
                raise
            return None

    def get(self, kind: str, name: str, namespace: str = "") -> Object:
        """One object."""
        return self._ask("GET", _path(kind, namespace, name))

    def create(self, kind: str, obj: Object, namespace: str = "") -> Object:
        """Store a new object."""
        namespace = namespace or obj["metadata"].get("namespace", "default")
        return self._ask("POST", _path(kind, namespace), {**_type_of(kind), **obj})

    def update(self, kind: str, obj: Object, *, subresource: Literal["", "status"] = "") -> Object:
        """Replace an object, or its status."""
        meta = obj["metadata"]
        path = _path(kind, meta.get("namespace", ""), meta["name"], subresource)
        return self._ask("PUT", path, {**_type_of(kind), **obj})

    def patch(
        self, kind: str, name: str, patch: Any, namespace: str = "", *, subresource: Literal["", "status"] = ""
    ) -> Object:
        """Change an object, or its status, by a merge patch."""
        return self._ask("PATCH", _path(kind, namespace, name, subresource), patch, content=_MERGE)

    def delete(self, kind: str, name: str, namespace: str = "", options: DeleteOptions | None = None) -> Object:
        """Delete an object, or mark it as being deleted."""
        asked: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if options is not None:
            asked |= {"gracePeriodSeconds": options.grace} if options.grace is not None else {}
            asked |= {"preconditions": {"uid": options.uid}} if options.uid else {}
            asked |= {"propagationPolicy": options.propagation} if options.propagation else {}
        return self._ask("DELETE", _path(kind, namespace, name), asked)

    async def watch(self, kind: str, namespace: str = "", *, fields: str = "") -> AsyncGenerator[Event]:
        """Every object as ``ADDED``, then what happens to them, until the server ends it."""
        path, chosen = _path(kind, namespace), {"fieldSelector": fields} if fields else {}
        async with await connect(str(self._kubeconfig)) as client:
            listed = json.loads(await client.get(path, params=chosen))
            for one in listed["items"]:
                yield Event("ADDED", {**_type_of(kind), **one})
            since = {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
            async with client.stream(path, params={**chosen, **since}, total=600, silence=600) as pieces:
                async for event in _events(pieces):
                    yield event

    def _ask(self, method: str, path: str, body: Any = None, *, content: str = "application/json") -> Object:
        for again in (True, False):
            try:
                self._connection.request(
                    method, path, None if body is None else json.dumps(body), {**self._headers, "Content-Type": content}
                )
                answer = self._connection.getresponse()
                said = answer.read()
                break
            except (http.client.HTTPException, OSError) as error:
                self._connection.close()  # it was idle for too long
                if not again:
                    raise ApiError(str(error)) from error
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise ApiError(f"{method} {path}: {said.decode()[:500]}", status=answer.status)
        return cast("Object", json.loads(said))


async def _events(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Event]:
    """The events in a watch's bytes, until it says that it cannot go on."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event["type"] == "ERROR":
                return
            yield Event(event["type"], event["object"])


def _type_of(kind: str) -> Object:
    known = _KINDS[kind]
    return {"apiVersion": known.api_version, "kind": known.kind}


def _path(kind: str, namespace: str, name: str = "", subresource: str = "") -> str:
    known = _KINDS[kind]
    parts = ["/apis", known.group, known.version] if known.group else ["/api", known.version]
    if known.namespaced and namespace:
        parts += ["namespaces", namespace]
    return "/".join([*parts, known.plural, *filter(None, (name, subresource))])


@contextlib.contextmanager
def storage_at(kubeconfig: Path) -> Iterator[Storage]:
    """A server's storage, for what is written for that of the embedded one. Its calls block."""
    with contextlib.closing(Afar(kubeconfig)) as afar:
        yield cast("Storage", afar)


@contextlib.contextmanager
def alive(kubeconfig: Path, workers: Sequence[Worker]) -> Iterator[None]:
    """Let workers work on a server for as long as the block lasts; what one of them lets out is raised at the end."""
    loop, failed = asyncio.new_event_loop(), list[BaseException]()
    stop = asyncio.Event()

    async def work() -> None:
        with storage_at(kubeconfig) as storage:
            await run(storage)

    async def run(storage: Storage) -> None:
        working = asyncio.gather(*(worker(storage) for worker in workers))  # some have nothing to do, and return
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for one in (working, stopping):
            one.cancel()
        results = await asyncio.gather(working, stopping, return_exceptions=True)
        failed.extend(one for one in results if isinstance(one, Exception))

    thread = threading.Thread(target=lambda: loop.run_until_complete(work()), name="workers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()
        if failed:
            raise failed[0]
