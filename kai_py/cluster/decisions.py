"""What we have told the API server, from the moment we act upon it until it is confirmed, refused or given up."""

from __future__ import annotations

from typing import Final

from kai_py.cluster.claims import ClaimBook
from kai_py.cluster.failures import Failures
from kai_py.cluster.groups import GroupBook
from kai_py.cluster.held import HeldBook
from kai_py.cluster.layout import PodLayout
from kai_py.cluster.phases import Assumptions, Event
from kai_py.cluster.pods import PodBook
from kai_py.cluster.volumes.book import VolumeBook
from kai_py.core.result import Bind, Decision, Evict
from kai_py.core.tables.pods import PodKey, PodState

#: Seconds after which a sent decision that no watch has confirmed is given up; the watch will have told by then.
CONFIRM_WITHIN: Final = 120.0
_WAITING: Final = (PodState.PENDING, PodState.GATED)


class Decisions:
    """Decisions on their way, and what becomes of their pods.

    Args:
        assumptions: where each decision is.
        failures: remembers what was refused.
        held: places that wait for evictions.
        groups: names the pods of a podgroup.
        pods: show what is on its way for them.
        layout: lays a pod out anew when nothing is on its way for it any more.
        claims: devices that go with bindings.
        volumes: volumes that do.
    """

    def __init__(
        self,
        assumptions: Assumptions,
        failures: Failures,
        held: HeldBook,
        *,
        groups: GroupBook,
        pods: PodBook,
        layout: PodLayout,
        claims: ClaimBook,
        volumes: VolumeBook,
    ) -> None:
        self._volumes = volumes
        self._claims = claims
        self._assumptions = assumptions
        self._failures = failures
        self._held = held
        self._groups = groups
        self._pods = pods
        self._layout = layout

    def assume(self, decision: Bind | Evict, now: float) -> None:
        """Count a decision as carried out, before the API server has confirmed it."""
        key = pod_of(decision)
        if isinstance(decision, Bind):
            self._assumptions.assume(key, decision.node, now, decision.gpu_groups, decision.zones)
            self._claims.assume(decision, key, now)
            self._volumes.assume(decision, key)
        else:
            self._assumptions.assume(key, None, now)
        self._pods.fly(key, self._assumptions.get(key))

    def acknowledge(self, decision: Bind | Evict) -> None:
        """The API server has accepted it; the watch will show it."""
        self._assumptions.note(pod_of(decision), Event.ACKNOWLEDGE)

    def confirm(self, key: PodKey, *, wants_node: bool) -> None:
        """A watch shows a pod on a node, or leaving: if that was decided, it is done."""
        flight = self._assumptions.get(key)
        if flight is not None and (flight.node is not None) == wants_node:
            self._assumptions.note(key, Event.SEE)

    def forget(self, decision: Bind | Evict, now: float, *, blame_node: bool, why: str = "") -> None:
        """The API server has refused it: the pod is as it was, and pauses before the next attempt."""
        key = pod_of(decision)
        self._claims.release(key)
        self._volumes.release(key)
        if not self._assumptions.note(key, Event.FAIL):
            return  # the watch was faster: the pod is bound or gone, and nothing has to be tried again
        if isinstance(decision, Bind) and key in self._pods.facts:
            self._failures.note(key, decision.node if blame_node else None, now, why)
        self._layout.again(key, now)

    def release(self, decision: Bind | Evict, now: float) -> None:
        """It was not sent after all; nobody failed, nothing is remembered."""
        key = pod_of(decision)
        self._claims.release(key)
        self._volumes.release(key)
        if self._assumptions.note(key, Event.FAIL):
            self._layout.again(key, now)

    def give_up(self, podgroup: str, now: float, why: str = "") -> None:
        """The evictions that a podgroup needs cannot be had now: nothing is held for it any more.

        Args:
            podgroup: ``namespace/name``.
            now: seconds since the epoch.
            why: they were refused, and the podgroup pauses; empty if they are only postponed.
        """
        namespace, _, name = podgroup.partition("/")
        group = self._groups.groups.get((namespace, name))
        for key in tuple(group.members) if group is not None else ():
            self._held.give_up(key)
            if why and self._pods.facts[key].state == PodState.PENDING:
                self._failures.note(key, None, now, why)
                self._layout.again(key, now)

    def waits(self, key: PodKey) -> bool:
        """Whether a pod waits, and nothing is on its way for it."""
        facts = self._pods.facts.get(key)
        return facts is not None and facts.state in _WAITING and self._assumptions.get(key) is None

    def expire(self, now: float) -> bool:
        """Give up what nobody confirmed and end pauses that are over; tells whether any did."""
        late = [key for key, flight in self._assumptions if now - flight.since > CONFIRM_WITHIN]
        ended = [key for key in late if self._assumptions.note(key, Event.EXPIRE)] + self._failures.expiring(now)
        for key in ended:
            self._layout.again(key, now)
        return bool(ended)


def pod_of(decision: Decision) -> PodKey:
    """Identity of the pod that a decision is about."""
    namespace, _, name = decision.pod.partition("/")
    return PodKey(namespace, name, decision.uid)
