"""Asks for nodes with a ProvisioningRequest per gang that waits for them, where settings say so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from kai_py.api.meta import OwnerReference, PartialObject
from kai_py.cluster.provisioning import (
    GROUP,
    LABEL,
    MAX_POD_SETS,
    VERSION,
    Asked,
    read,
    request,
    request_name,
    templates,
)
from kai_py.cluster.store import Store
from kai_py.cluster.wanting import Wanting, wanting
from kai_py.core.result import CycleResult, Diagnosis, Reason
from kai_py.core.tables.snapshot import Snapshot
from kai_py.errors import ApiError, ConflictError, ForbiddenError, LeaseLostError, NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.listing import list_all
from kai_py.kube.resource import ResourceKind
from kai_py.kube.writer import Writer
from kai_py.operators.kinds import PODGROUPS, PODS
from kai_py.settings.model import Autoscaling

_log = structlog.get_logger()

REQUESTS: Final = ResourceKind(GROUP, VERSION, "provisioningrequests", PartialObject)
TEMPLATES: Final = ResourceKind("", "v1", "podtemplates", PartialObject)
#: How often to look, seconds.
EVERY: Final = 2.0
#: Gangs are counted no more often than this, seconds: a thousand of them take 50 ms.
COUNT_EVERY: Final = 1.0
#: A request stays so long after its gang has stopped waiting for nodes, in case it starts again; seconds.
GRACE: Final = 10.0

Name = tuple[str, str]


class Provisioning:
    """Keeps one ProvisioningRequest for each gang that could use nodes, and takes it away when the gang waits no more.

    Nothing is remembered but what can be seen again: the requests that are there are read each time.

    Args:
        store: knows PodGroups.
        client: reads pods and requests.
        writer: the door to the API server.
        settings: asked each time.
        leading: whether we may write.
        wake: called when a podgroup has something new to say.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        client: ApiClient,
        writer: Writer,
        *,
        settings: Callable[[], Autoscaling],
        leading: Callable[[], bool],
        wake: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._client = client
        self._writer = writer
        self._settings = settings
        self._leading = leading
        self._wake = wake
        self._clock = clock
        self._wanting: dict[Name, Wanting] = {}
        self._since: dict[Name, float] = {}
        self._left: dict[str, float] = {}
        self._reasons: dict[str, Reason] = {}
        self._counted = 0.0
        self._asks = False
        self._complained = ""

    # -- cycles ------------------------------------------------------------------------------------

    def take(self, snapshot: Snapshot, result: CycleResult) -> CycleResult:
        """Note who could use nodes; the result comes back with what became of requests as the first reason."""
        if not self._settings().provisioning_class:
            self._wanting = {}
            return result
        if (now := self._clock()) >= self._counted + COUNT_EVERY:
            self._wanting, self._counted = wanting(snapshot, result), now
            self._since = {name: self._since.get(name, now) for name in self._wanting}
        if not self._reasons:
            return result
        return replace(result, diagnoses=tuple(map(self._told, result.diagnoses)))

    def _told(self, diagnosis: Diagnosis) -> Diagnosis:
        namespace, _, name = diagnosis.podgroup.partition("/")
        reason = self._reasons.get(diagnosis.podgroup) if (namespace, name) in self._wanting else None
        return replace(diagnosis, reasons=(reason, *diagnosis.reasons)) if reason is not None else diagnosis

    # -- requests ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            if not self._leading() or not (self._asks or self._settings().provisioning_class):
                continue
            try:
                await self.look()
            except LeaseLostError:
                continue
            except ApiError as error:
                self._complain(error)
            except Exception:  # the edge of the loop
                _log.exception("nodes not asked for")

    async def look(self) -> None:
        """Ask for what is wanted, and take away what is wanted no more.

        Raises:
            ApiError: requests cannot be read.
            LeaseLostError: somebody else leads.
        """
        there = [read(body) for body in await list_all(self._client, REQUESTS, labelSelector=f"{LABEL}=true")]
        asks = self._settings()
        wanted = {
            name: (one, request_name(one, asks.provisioning_class, asks.provisioning_parameters))
            for name, one in self._wanting.items()
        }
        kept = [one for one in there if await self._stays(one, wanted.get(one.podgroup, (None, ""))[1], asks)]
        self._left = {name: since for name, since in self._left.items() if name in {one.name for one in there}}
        names = {one.name for one in kept}
        for one, name in wanted.values():
            if name not in names and self._clock() >= self._since[one.podgroup] + asks.provisioning_delay.seconds:
                await self._isolated(one, name, asks)
        reasons = {"/".join(one.podgroup): one.reason for one in kept}
        self._asks = bool(asks.provisioning_class or there)
        if reasons != self._reasons:
            self._reasons = reasons
            self._wake()

    async def _stays(self, one: Asked, wanted: str, asks: Autoscaling) -> bool:
        """Whether a request is still good for something; else it is deleted."""
        now = self._clock()
        if one.name == wanted and not (one.ended and now >= one.ended + asks.provisioning_retry.seconds):
            self._left.pop(one.name, None)
            return True
        if not one.ended and not wanted and now < self._left.setdefault(one.name, now) + GRACE:
            return True
        await self._delete(one)
        return False

    async def _delete(self, one: Asked) -> None:
        namespace, _ = one.podgroup
        for row in range(MAX_POD_SETS):  # they are numbered
            if not await self._writer.remove(TEMPLATES, namespace, f"{one.name}-{row}"):
                break
        await self._writer.remove(REQUESTS, namespace, one.name)
        _log.info("nodes no longer asked for", podgroup="/".join(one.podgroup), request=one.name)

    async def _isolated(self, one: Wanting, name: str, asks: Autoscaling) -> None:
        """Ask for one gang; what goes wrong with it ends nothing else."""
        try:
            await self._ask(one, name, asks)
        except LeaseLostError:
            raise
        except ApiError as error:
            self._complain(error, "/".join(one.podgroup))

    async def _ask(self, one: Wanting, name: str, asks: Autoscaling) -> None:
        podgroup = self._store.groups.objects.get(one.podgroup)
        if podgroup is None or len(one.pods) > MAX_POD_SETS:
            return  # a single pod is an autoscaler's daily bread; and so many sorts cannot be asked for
        uid = podgroup.metadata.uid
        owner = OwnerReference(api_version=PODGROUPS.api_version, kind="PodGroup", name=one.podgroup[1], uid=uid)
        pods = [await self._client.get_object(PODS.path(one.podgroup[0], pod)) for pod, _ in one.pods]
        made = request(name, one, asks.provisioning_class, asks.provisioning_parameters, owner)
        for kind, body in (*((TEMPLATES, body) for body in templates(name, one, pods, owner)), (REQUESTS, made)):
            try:
                await self._writer.create(kind, body)
            except ConflictError:
                continue  # made before; an answer was lost, or somebody else led
        _log.info("nodes asked for", podgroup="/".join(one.podgroup), request=name)

    def _complain(self, error: ApiError, podgroup: str = "") -> None:
        """Say once what is the same each time."""
        said = f"{podgroup}: {error}"
        if said != self._complained:
            self._complained = said
            missing = isinstance(error, NotFoundError | ForbiddenError)
            hint = "is ProvisioningRequest served, and rbac.provisioningRequests set?" if missing else ""
            _log.warning("nodes not asked for", podgroup=podgroup, error=str(error), hint=hint)
