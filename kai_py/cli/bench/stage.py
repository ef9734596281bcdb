"""The objects of a live benchmark: made at the beginning, deleted at the end, whatever has happened in between."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from kai_py.api.meta import PartialObject
from kai_py.cli.bench import device_manifests, manifests
from kai_py.cli.failures import MISUSED, Failure, note
from kai_py.errors import ApiError, ConflictError, NotFoundError, UnavailableError
from kai_py.kube.client import ApiClient
from kai_py.kube.resource import ResourceKind
from kai_py.operators.kinds import CLAIMS, DEVICE_CLASSES, NODES, PODGROUPS, PODS, QUEUES, SLICES

Json = dict[str, Any]
Item = TypeVar("Item")

_NAMESPACES: Final = ResourceKind("", "v1", "namespaces", PartialObject, namespaced=False)
_EVENTS: Final = ResourceKind("events.k8s.io", "v1", "events", PartialObject)
#: Requests in flight while objects are made.
_CONCURRENCY: Final = 64
#: Seconds for deleting objects of one kind, and for a namespace to end by itself.
_CLEANING: Final = 300.0
_ENDING: Final = 5.0


@dataclass(frozen=True)
class Stage:
    """Fake nodes, a queue and a namespace of our own.

    Attributes:
        client: the API server.
        run: names this run; part of the names and labels of all its objects.
        scheduler: name that the pods give as their scheduler's.
        created: when each pod was created, seconds since the epoch, by name.
        claims: GPUs are devices that pods claim, one each.
    """

    client: ApiClient
    run: str
    scheduler: str
    created: dict[str, float] = field(default_factory=dict)
    claims: bool = False

    @property
    def name(self) -> str:
        """Of the namespace and of the queue."""
        return f"kai-py-bench-{self.run}"

    def node_name(self, number: int) -> str:
        """Of a fake node."""
        return f"{self.name}-{number:05}"

    async def furnish(self, nodes: int) -> None:
        """Make everything but pods.

        Raises:
            Failure: the CRDs are not installed.
        """
        if not await self.client.served(QUEUES.group, QUEUES.version, QUEUES.plural):
            step = "kubectl apply -f crds/, or start an embedded cluster with --minicluster"
            raise Failure("the cluster does not know Queues", next_step=step, status=MISUSED)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}
        await self.client.post(_NAMESPACES.path(), namespace)
        await self.client.post(QUEUES.path(), manifests.queue(self.name))
        if self.claims:
            await self._make_class()
        await each(range(nodes), self._make_node)

    async def _make_class(self) -> None:
        """A DeviceClass of our own."""
        if not await self.client.served(DEVICE_CLASSES.group, DEVICE_CLASSES.version, DEVICE_CLASSES.plural):
            raise Failure("the cluster does not serve resource.k8s.io/v1", status=MISUSED)
        await self.client.post(DEVICE_CLASSES.path(), device_manifests.device_class(self.driver, self.name))

    @property
    def driver(self) -> str:
        """Of the devices."""
        return f"{self.run}.bench.kai-py"

    async def _make_node(self, number: int) -> None:
        node = manifests.node(self.node_name(number), self.run, gpus=0 if self.claims else manifests.GPUS_PER_NODE)
        path = NODES.path("", node["metadata"]["name"])
        await self.client.post(NODES.path(), node)
        # A kubelet would say that it is ready, and admission has marked the node until somebody takes that back.
        await self.client.patch(f"{path}/status", {"status": node["status"]})
        await self.client.patch(path, {"spec": node["spec"]})
        for one in device_manifests.whole_gpus(node["metadata"]["name"], driver=self.driver) if self.claims else ():
            one["metadata"]["labels"] = {manifests.RUN: self.run}
            await self.client.post(SLICES.path(), one)

    async def _make_claim(self, name: str) -> None:
        """A claim on one device, by a selector."""
        expression = f'device.attributes["{self.driver}"].productName == "H100"'
        request = device_manifests.exactly(expression, of=self.name)
        spec = {"devices": {"requests": [request]}}
        claim = device_manifests.claim(name, self.name, self.name, spec)
        await self.client.post(CLAIMS.path(self.name), claim)

    async def submit(self, pods: int, *, gang: int, gpus: int) -> float:
        """Make pods, and a podgroup for every ``gang`` of them if that is more than one; returns the seconds taken."""
        groups = [f"gang-{number:05}" for number in range(-(-pods // gang))] if gang > 1 else []
        started = time.time()

        async def make_group(number: int) -> None:
            minimum = min(gang, pods - number * gang)  # the last one may be smaller
            podgroup = manifests.podgroup(groups[number], self.name, self.name, minimum)
            await self.client.post(PODGROUPS.path(self.name), podgroup)

        async def make_pod(number: int) -> None:
            group = groups[number // gang] if groups else ""
            name = f"pod-{number:05}"
            pod = manifests.pod(
                name,
                self.name,
                self.name,
                self.run,
                gpus=0 if self.claims else gpus,
                group=group,
                scheduler=self.scheduler,
            )
            if self.claims:
                pod = device_manifests.using(pod, [name])
            answer = await self.client.post(PODS.path(self.name), pod)
            self.created[name] = time.time()
            self._check(answer)

        await each(range(len(groups)), make_group)
        if self.claims:
            await each([f"pod-{number:05}" for number in range(pods)], self._make_claim)
            started = time.time()
        await each(range(pods), make_pod)
        return time.time() - started

    def _check(self, answer: bytes) -> None:
        """A webhook must not have given our pods to another scheduler."""
        seen = msgspec.json.decode(answer, type=_Created).spec.scheduler_name
        if seen != self.scheduler:
            raise Failure(f"the cluster has given our pods to the scheduler {seen!r}")

    async def delete_pod(self, name: str) -> None:
        """Delete a pod at once."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        await self.client.delete(PODS.path(self.name, name), options)

    async def uids(self) -> dict[str, str]:
        """The pods' uids by name."""
        page = await self.client.get(PODS.path(self.name))
        return {pod.metadata.name: pod.metadata.uid for pod in msgspec.json.decode(page, type=_Pods).items}

    async def clear(self) -> None:
        """Delete everything; what cannot be deleted is told."""
        now = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        nodes = f"{NODES.path()}?labelSelector={manifests.RUN}%3D{self.run}"
        await self._told(PODS.path(self.name), _until_deleted(self.client, PODS.path(self.name), now))
        others = [PODGROUPS.path(self.name), nodes]
        if self.claims:
            await self._told(CLAIMS.path(self.name), self._free_claims())
            others += [CLAIMS.path(self.name), f"{SLICES.path()}?labelSelector={manifests.RUN}%3D{self.run}"]
        for path in others:
            await self._told(path, _until_deleted(self.client, path, now))
        if self.claims:
            await self._told(self.name, self._delete(DEVICE_CLASSES.path("", self.name)))
        await self._told(self.name, self._delete(QUEUES.path("", self.name)))
        await self._told(self.name, self._end_namespace())

    async def _told(self, what: str, work: Awaitable[None]) -> None:
        try:
            await work
        except ApiError as error:
            note(f"not deleted: {what}: {error}", kind="warning")

    async def _free_claims(self) -> None:
        """Take devices and protection from claims: where no controller does that, they could not be deleted."""
        page = await self.client.get(CLAIMS.path(self.name))
        names = [one.metadata.name for one in msgspec.json.decode(page, type=_Pods).items]

        async def free(name: str) -> None:
            path = CLAIMS.path(self.name, name)
            with suppress(NotFoundError):
                await self.client.patch(f"{path}/status", {"status": {"reservedFor": None, "allocation": None}})
                await self.client.patch(path, {"metadata": {"finalizers": None}})

        await each(names, free)

    async def _delete(self, path: str) -> None:
        with suppress(NotFoundError):
            await self.client.delete(path)

    async def _end_namespace(self) -> None:
        """Delete the namespace. Where no controller does it, take the finalizer that waits for one away ourselves."""
        path = _NAMESPACES.path("", self.name)
        await self._delete(path)
        deadline = time.monotonic() + _ENDING
        while time.monotonic() < deadline:
            try:
                namespace = await self.client.get_object(path)
            except NotFoundError:
                return
            await asyncio.sleep(0.2)
        with suppress(NotFoundError):
            await self.client.delete(_EVENTS.path(self.name))
        with suppress(NotFoundError, ConflictError):
            await self.client.put(f"{path}/finalize", {**namespace, "spec": {"finalizers": []}})


@asynccontextmanager
async def stage(client: ApiClient, nodes: int, scheduler: str | None, *, claims: bool = False) -> AsyncIterator[Stage]:
    """Nodes, queue and namespace for one run.

    Args:
        client: the API server.
        nodes: how many.
        scheduler: name of the scheduler that shall take the pods; None is one that nobody else uses.
        claims: see ``Stage``.
    """
    run = secrets.token_hex(3)
    made = Stage(client, run, scheduler or f"kai-py-bench-{run}", claims=claims)
    try:
        await made.furnish(nodes)
        yield made
    finally:
        await asyncio.shield(made.clear())


async def each(items: Iterable[Item], act: Callable[[Item], Awaitable[None]], concurrency: int = _CONCURRENCY) -> None:
    """Do the same with all items, some at a time; the first error ends it."""
    line: Iterator[Item] = iter(items)

    async def work() -> None:
        for item in line:  # all workers share the line
            await act(item)

    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()


async def _until_deleted(client: ApiClient, path: str, options: Json) -> None:
    """Delete a collection. For thousands of objects the server may need longer than we wait for one answer."""
    deadline = time.monotonic() + _CLEANING
    while True:
        try:
            await client.delete(path, options)
        except NotFoundError:
            return
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
        else:
            return


class _Spec(msgspec.Struct, rename="camel"):
    scheduler_name: str = ""


class _Created(msgspec.Struct):
    spec: _Spec


class _Meta(msgspec.Struct):
    name: str
    uid: str


class _Pod(msgspec.Struct):
    metadata: _Meta


class _Pods(msgspec.Struct):
    items: list[_Pod]
