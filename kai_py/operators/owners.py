"""Follows the kinds of objects that own our pods, whichever these are: each is watched from its first pod on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog

from kai_py.api.decode import convert
from kai_py.api.meta import PartialObject
from kai_py.api.workload import Workload
from kai_py.cluster.owner_kinds import KindName, OwnerPod
from kai_py.cluster.store import Store
from kai_py.errors import ApiError, ForbiddenError, KaiError, NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.discovery import discover
from kai_py.kube.reflector import ABSENT_SECONDS, Reflector
from kai_py.kube.resource import ResourceKind
from kai_py.operators.intake import Intake
from kai_py.operators.kinds import PODS
from kai_py.podgrouper.kinds.registry import Registry

_log = structlog.get_logger()

#: Pause before the server is asked again after an error; seconds.
RETRY: Final = 1.0


class OwnerFollower:
    """Watches kinds as pods name them: metadata alone, unless a rule reads more.

    A kind that is not served, or that we may not read, is not waited for: references to it are taken at their word.

    Args:
        client: the API server.
        store: says which kinds are wanted.
        intake: takes their objects in.
        registry: the rules in force.
        wake: called when something changed that a cycle could act upon.
        clock: seconds since the epoch.

    Attributes:
        reflectors: of the kinds that are served.
    """

    def __init__(
        self,
        client: ApiClient,
        store: Store,
        intake: Intake,
        registry: Callable[[], Registry],
        wake: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._store = store
        self._intake = intake
        self._registry = registry
        self._wake = wake
        self._clock = clock
        self.reflectors: dict[KindName, Reflector[PartialObject]] = {}
        self._wanted = asyncio.Event()
        self._settled: dict[KindName, asyncio.Event] = {}
        self._tasks: dict[KindName, tuple[bool, asyncio.Task[None]]] = {}
        store.owners.kinds.on_wanted = self._wanted.set

    async def run(self) -> None:
        """Follow what is wanted, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                kinds = self._store.owners.kinds
                while kinds.wanted:
                    self._start(tasks, kinds.wanted.popitem()[0])
                while kinds.wanted_pods:
                    tasks.create_task(self._ask_for(kinds.wanted_pods.popitem()[0]))

    async def caught_up(self) -> None:
        """Wait until all kinds that are wanted by now have been read, or cannot be; owners may have owners."""
        while self._store.owners.kinds.wanted or not all(event.is_set() for event in self._settled.values()):
            await asyncio.gather(*(event.wait() for event in self._settled.values()))
            await asyncio.sleep(0)

    def rules_changed(self) -> None:
        """Other rules are in force: some kinds may have to be read whole, or need not any more."""
        for kind, (reads, task) in list(self._tasks.items()):
            if reads != self._registry().reads(kind):
                task.cancel()
                self._store.owners.kinds.wanted[kind] = None
                self._wanted.set()

    def _start(self, tasks: asyncio.TaskGroup, kind: KindName) -> None:
        reads = self._registry().reads(kind)
        self._settled.setdefault(kind, asyncio.Event())
        self._tasks[kind] = reads, tasks.create_task(self._follow(kind, reads=reads), name=f"owners {kind[1]}")

    async def _follow(self, kind: KindName, *, reads: bool) -> None:
        struct: type[PartialObject] = Workload if reads else PartialObject
        while (resource := await self._discovered(kind, struct)) is None:
            self._settle(kind, served=False)
            await asyncio.sleep(ABSENT_SECONDS)
        self._intake.follow(resource, kind[1])
        reflector = Reflector(self._client, resource, self._intake, metadata_only=not reads, dispensable=True)
        self.reflectors[kind] = reflector
        async with asyncio.TaskGroup() as both:
            both.create_task(reflector.run())
            while True:
                await reflector.synced.wait()
                # Only who is not there, or refuses us, is not waited for; who does not answer will.
                self._settle(kind, served=not isinstance(reflector.last_error, NotFoundError | ForbiddenError))
                await asyncio.sleep(ABSENT_SECONDS)

    async def _discovered(self, kind: KindName, struct: type[PartialObject]) -> ResourceKind[Any] | None:
        while True:
            try:
                return await discover(self._client, *kind, struct)
            except KaiError as error:
                _log.warning("kind of owner not found out", group=kind[0], kind=kind[1], error=str(error))
                await asyncio.sleep(RETRY)

    def _settle(self, kind: KindName, *, served: bool) -> None:
        if self._store.lineages.settle(kind, served=served, now=self._clock()):
            self._wake()
        self._settled[kind].set()

    async def _ask_for(self, pod: OwnerPod) -> None:
        """Read a pod that owns pods, such as the driver of Spark or a leader."""
        namespace, name, uid = pod
        exists = False
        while True:
            try:
                with suppress(NotFoundError):
                    found = convert(PartialObject, await self._client.get_object(PODS.path(namespace, name)))
                    if exists := found.metadata.uid == uid:
                        self._intake.put_owner_pod(found)
                break
            except ApiError as error:
                _log.warning("owner not read", pod=f"{namespace}/{name}", error=str(error))
                await asyncio.sleep(RETRY)
        if self._store.lineages.settle_pod(uid, exists=exists, now=self._clock()):
            self._wake()
