"""Keeps the status of PodGroups of other APIs, and lets go of what is held for a gang beyond its timeout."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from kai_py.api.meta import ObjectMeta, PartialObject
from kai_py.api.pod import Pod
from kai_py.api.workload import Workload
from kai_py.cluster.pods import key_of
from kai_py.cluster.store import Store
from kai_py.core.tables.pods import PodKey
from kai_py.errors import ApiError, KaiError, LeaseLostError, NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.resource import ResourceKind
from kai_py.kube.writer import Writer
from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.foreign import COSCHEDULING, NATIVE, claims, minimum_asked, names_gang
from kai_py.podgrouper.foreign_status import Member, coscheduling_status, native_status
from kai_py.telemetry.events import EventText, Regarding

_log = structlog.get_logger()

#: How often to look, seconds: what happens to a gang's pods at once is told at once.
EVERY: Final = 0.5
_PLURAL: Final = "podgroups"

#: API group and kind, namespace, name.
Gang = tuple[tuple[str, str], str, str]


class GangStatuses:
    """Pods of ours by the PodGroup that they name, and what is written into it.

    Args:
        store: knows the PodGroups, and what is held.
        client: reads a PodGroup's status before it is changed.
        writer: the door to the API server.
        ours: names of schedulers whose pods count.
        leading: whether we may write.
        tell: takes an Event.
        wake: called when something was let go.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        client: ApiClient,
        writer: Writer,
        *,
        ours: AbstractSet[str],
        leading: Callable[[], bool],
        tell: Callable[[EventText], None],
        wake: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._client = client
        self._writer = writer
        self._ours = ours
        self._leading = leading
        self._tell = tell
        self._wake = wake
        self._clock = clock
        self._gangs: dict[Gang, dict[PodKey, Member]] = {}
        self._of: dict[PodKey, Gang] = {}
        self._changed: dict[Gang, None] = {}
        #: Since when places are held for a gang.
        self._held: dict[Gang, float] = {}

    # -- pods, as the watch shows them -----------------------------------------------------------------

    def put(self, pod: Pod) -> None:
        """Take in a pod; most name no gang, and cost a look."""
        if not names_gang(pod) or pod.spec.scheduler_name not in self._ours:
            return
        named = next((one for one in claims(pod) if one.kind in (COSCHEDULING, NATIVE)), None)
        if named is None:
            return
        key, gang = key_of(pod), (named.kind, pod.metadata.namespace, named.name)
        member = _member(pod)
        members = self._gangs.setdefault(gang, {})
        if members.get(key) != member:
            members[key] = member
            self._of[key] = gang
            self._changed[gang] = None

    def drop(self, meta: ObjectMeta) -> None:
        """Forget a pod."""
        self._forget(PodKey(meta.namespace, meta.name, meta.uid))

    def keep(self, uids: AbstractSet[str]) -> None:
        """These are all pods that there are."""
        for key in [key for key in self._of if key.uid not in uids]:
            self._forget(key)

    def _forget(self, key: PodKey) -> None:
        if (gang := self._of.pop(key, None)) is None:
            return
        members = self._gangs[gang]
        members.pop(key, None)
        self._changed[gang] = None
        if not members:
            del self._gangs[gang]

    # -- what is done about it -------------------------------------------------------------------------

    async def run(self) -> None:
        """Write statuses and watch timeouts, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            if not self._leading():
                continue
            for gang in list(self._gangs):
                self._release(gang)
            while self._changed:
                await self._tell_status(self._changed.popitem()[0])

    def _find(self, gang: Gang) -> Workload | None:
        (group, kind), namespace, name = gang
        found: PartialObject | None = self._store.around.find(group, kind, namespace, name)
        return found if isinstance(found, Workload) else None

    async def _tell_status(self, gang: Gang) -> None:
        known = self._find(gang)
        if known is None:
            if gang in self._gangs:
                self._later(gang)  # its watch has not shown it yet
            return
        kind, namespace, name = gang
        group, _, version = known.api_version.partition("/")
        resource = ResourceKind(group, version, _PLURAL, PartialObject)
        try:
            minimum = minimum_asked(Field(f"PodGroup {namespace}/{name}", "spec", known.spec), kind)
            before = (await self._client.get_object(resource.path(namespace, name))).get("status") or {}
            made = coscheduling_status if kind == COSCHEDULING else native_status
            members = self._gangs.get(gang, {}).values()
            if status := made(minimum, members, before, _timestamp(self._clock())):
                await self._writer.patch_status(resource, namespace, name, status)
        except (NotFoundError, LeaseLostError):
            return
        except ApiError as error:
            _log.info("status not written", podgroup=f"{namespace}/{name}", error=str(error))
            self._later(gang)
        except KaiError:
            return  # it cannot be understood: its pods say so

    def _later(self, gang: Gang) -> None:
        asyncio.get_running_loop().call_later(10 * EVERY, self._changed.setdefault, gang, None)

    def _release(self, gang: Gang) -> None:
        """Let go of places that are held for a gang for longer than it wants to wait for its last pod."""
        held = [key for key in self._gangs[gang] if self._store.held.get(key)]
        if gang[0] != COSCHEDULING or not held:
            self._held.pop(gang, None)
            return
        now = self._clock()
        since, known = self._held.setdefault(gang, now), self._find(gang)
        seconds: Any = known.spec.get("scheduleTimeoutSeconds") if known is not None else None
        if known is None or not isinstance(seconds, int) or seconds <= 0 or now < since + seconds:
            return
        facts = self._store.pods.facts.get(held[0])
        if facts is None or facts.place is None:
            return
        del self._held[gang]
        why = f"it could not start within {seconds} s (scheduleTimeoutSeconds), and what was held for it was released"
        self._store.decisions.give_up("/".join(facts.place.group), now, why)
        about = Regarding(known.api_version, "PodGroup", gang[1], gang[2], known.metadata.uid)
        self._tell(EventText(about, "Warning", "ScheduleTimeout", "Scheduling", f"The gang waits: {why}"))
        self._wake()


def _member(pod: Pod) -> Member:
    why = next(
        ((one.reason, one.message) for one in pod.status.conditions if _waits(one.type, one.status)),
        ("", ""),
    )
    return Member(pod.status.phase, bool(pod.spec.node_name), why)


def _waits(kind: str, status: str) -> bool:
    return (kind, status) == ("PodScheduled", "False")


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
