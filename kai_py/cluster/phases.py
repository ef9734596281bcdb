"""Decisions on their way: what we act upon before the API server has confirmed it.

The life of a decision is a table, so that it can be read whole, tested exhaustively and drawn::

            assume            acknowledge             see
    (none) ───────▶ ASSUMED ─────────────▶ SENT ─────────────▶ (none: the truth is in the store)
                       │                     │
                       │ fail, vanish        │ vanish, expire
                       ▼                     ▼
                     (none: forgotten)     (none: forgotten)

``see`` may come before ``acknowledge``: the watch can be faster than the answer to our request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from kai_py.cluster.encode.zones import Seating
from kai_py.core.tables.pods import PodKey
from kai_py.errors import InvariantError


class Phase(StrEnum):
    """Where a decision is."""

    ASSUMED = "assumed"
    SENT = "sent"


class Event(StrEnum):
    """What happens to it."""

    ACKNOWLEDGE = "acknowledge"
    FAIL = "fail"
    SEE = "see"
    VANISH = "vanish"
    EXPIRE = "expire"


#: Phase -> event -> next phase; None ends the life of the decision. An event that is not listed changes nothing.
TABLE: dict[Phase, dict[Event, Phase | None]] = {
    Phase.ASSUMED: {Event.ACKNOWLEDGE: Phase.SENT, Event.FAIL: None, Event.SEE: None, Event.VANISH: None},
    Phase.SENT: {Event.SEE: None, Event.VANISH: None, Event.EXPIRE: None},
}


@dataclass(frozen=True)
class InFlight:
    """One decision on its way. ``node`` is where the pod is bound to; None when it is evicted.

    ``gpu_groups`` are the devices there on which it gets a share, ``zones`` what it is expected to take of NUMA nodes.
    """

    phase: Phase
    node: str | None
    since: float
    gpu_groups: tuple[str, ...] = ()
    zones: Seating = ()


class Assumptions:
    """All decisions on their way, by pod."""

    def __init__(self) -> None:
        self._flights: dict[PodKey, InFlight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __iter__(self) -> Iterator[tuple[PodKey, InFlight]]:
        return iter(tuple(self._flights.items()))

    def get(self, pod: PodKey) -> InFlight | None:
        """The decision on its way for a pod."""
        return self._flights.get(pod)

    def assume(
        self, pod: PodKey, node: str | None, now: float, gpu_groups: tuple[str, ...] = (), zones: Seating = ()
    ) -> None:
        """Begin: the pod counts as bound to a node (or, with None, as leaving) from now on.

        Raises:
            InvariantError: there is a decision on its way for this pod already; sending a second one could double it.
        """
        if pod in self._flights:
            raise InvariantError(f"pod {pod}: a decision is already on its way")
        self._flights[pod] = InFlight(Phase.ASSUMED, node, now, gpu_groups, zones)

    def note(self, pod: PodKey, event: Event) -> bool:
        """Advance by an event; tells whether the decision's life ended with it."""
        flight = self._flights.get(pod)
        if flight is None or event not in TABLE[flight.phase]:
            return False
        following = TABLE[flight.phase][event]
        if following is None:
            del self._flights[pod]
            return True
        self._flights[pod] = replace(flight, phase=following)
        return False
