"""One reflector for every kind that decides, and how the memory is filled from them at first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from kai_py.api.meta import PartialObject
from kai_py.cluster.store import Store
from kai_py.errors import ApiError, NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.reflector import Reflector
from kai_py.kube.resource import ResourceKind
from kai_py.operators.documents import Spawn
from kai_py.operators.intake import Intake
from kai_py.operators.kinds import (
    BUDGETS,
    CLAIMS,
    DEVICE_CLASSES,
    NAMESPACES,
    NODES,
    OWNER_KINDS,
    OWNERS,
    PODS,
    PRIORITY_CLASSES,
    RUNTIMES,
    SERVICES,
    SLICES,
    STORAGE,
    TAINT_RULES,
    ZONES,
)

_log = structlog.get_logger()

#: Pause before an API server that gives no answer is asked again; seconds.
RETRY: Final = 1.0
#: Kinds that a server need not have, or need not let us read.
_AROUND: Final[tuple[ResourceKind[Any], ...]] = (BUDGETS, NAMESPACES, DEVICE_CLASSES, SLICES)
_FURTHER: Final[tuple[ResourceKind[Any], ...]] = (*STORAGE, ZONES, RUNTIMES, SERVICES)


class Reflectors:
    """Watches every kind that decides.

    Args:
        client: the API server.
        intake: takes their objects in.
        store: told which kinds the server has.
        clock: seconds since the epoch.

    Attributes:
        all: one for each kind, in the order in which they are started.
    """

    def __init__(self, client: ApiClient, intake: Intake, store: Store, clock: Callable[[], float]) -> None:
        self._client = client
        self._intake = intake
        self._store = store
        self._clock = clock
        claims = self._dispensable(CLAIMS)
        store.claims.served = lambda: claims.served
        self.all: list[Reflector[Any]] = [
            Reflector(client, PRIORITY_CLASSES, intake),
            Reflector(client, PODS, intake, paged=intake),
            Reflector(client, NODES, intake),
            *map(self._dispensable, _AROUND),
            claims,
            *map(self._dispensable, _FURTHER),
            *(
                Reflector(client, kind, intake, metadata_only=kind.struct is PartialObject, optional=True)
                for kind in OWNERS
            ),
        ]

    def _dispensable(self, kind: ResourceKind[Any]) -> Reflector[Any]:
        return Reflector(self._client, kind, self._intake, dispensable=True)

    @property
    def staleness(self) -> float:
        """Seconds since the most silent of them has heard from the server."""
        return max(reflector.staleness for reflector in self.all)

    async def fill(self, spawn: Spawn) -> None:
        """Start all, and wait until every kind has been listed."""
        await until_answered(self._find_taint_rules)
        first, *others = self.all
        spawn(first.run(), f"watch {first.resource}")
        await first.synced.wait()  # a grouper asks which PriorityClasses exist
        for reflector in others:
            spawn(reflector.run(), f"watch {reflector.resource}")
        await asyncio.gather(*(reflector.synced.wait() for reflector in self.all))
        self._settle_absent_owners()

    async def _find_taint_rules(self) -> None:
        """Watch taint rules in the first version that the server has, or look for the first one now and then."""
        found = TAINT_RULES[0]
        for kind in TAINT_RULES:
            if await self._client.served(kind.group, kind.version, kind.plural):
                found = kind
                break
        self.all.append(self._dispensable(found))

    def _settle_absent_owners(self) -> None:
        """No pod waits for an owner of a kind that the server does not have."""
        for reflector in self.all:
            if reflector.resource in OWNERS and isinstance(reflector.last_error, NotFoundError):
                kind = (reflector.resource.group, OWNER_KINDS[reflector.resource.plural])
                self._store.lineages.settle(kind, served=False, now=self._clock())


async def until_answered(job: Callable[[], Awaitable[None]]) -> None:
    """Do it again until the API server answers: at the start there is nothing else to do."""
    while True:
        try:
            return await job()
        except ApiError as error:
            _log.warning("waiting for the API server", error=str(error))
            await asyncio.sleep(RETRY)
