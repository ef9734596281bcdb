"""What one cycle leaves to the next: places that are held, what has happened to podgroups, searches to go on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from kai_py.cluster.books import Books
from kai_py.cluster.decisions import Decisions, pod_of
from kai_py.cluster.history import Stamps
from kai_py.core.options import Action
from kai_py.core.result import CycleResult, Evict, Nominate

#: How often the histories of podgroups that are gone are thrown away, in seconds.
SWEEP: Final = 60.0


class CarryOver:
    """Takes in the results of cycles.

    Args:
        books: where places are held, and histories kept.
        decisions: those that nobody confirms are given up.

    Attributes:
        searched: by podgroup and action, the choices of victims that the last cycle tried in vain before its budget
            ended a search.
    """

    def __init__(self, books: Books, decisions: Decisions) -> None:
        self._held = books.held
        self._history = books.history
        self._groups = books.groups
        self._decisions = decisions
        self.searched: Mapping[tuple[str, str], int] = {}
        self._swept = 0.0

    def remember(self, result: CycleResult, now: float) -> None:
        """What the next cycle has to know of this one: places that are held, gangs that are stale, starts."""
        held = {}
        for decision in result.decisions:
            if isinstance(decision, Nominate):
                key = pod_of(decision)
                if decision.action is not Action.ALLOCATE or key in self._held:
                    held[key] = decision.node
        self._held.replace(held)
        self.searched = result.searched
        self._history.stale({_split(name) for name in result.stale}, now)
        for name in result.started:
            self._history.started(_split(name), now)

    def evicted(self, decision: Evict, now: float) -> None:
        """A pod of a podgroup has been told to go."""
        self._history.evicted(_split(decision.podgroup), now)

    def stamps(self) -> Iterator[tuple[tuple[str, str], Stamps]]:
        """PodGroup objects whose annotations lag behind what has happened, with those to write; each is told once."""
        for name in self._history.marked():
            podgroup = self._groups.objects.get(name)
            if podgroup is not None and (changes := self._history.changes(podgroup)):
                yield name, changes

    def tidy(self, now: float) -> bool:
        """Give up decisions that nobody confirmed and end pauses that are over; tells whether any did."""
        if now - self._swept >= SWEEP:
            self._swept = now
            self._history.retain(lambda name: name in self._groups.groups or name in self._groups.objects)
        return self._decisions.expire(now)


def _split(name: str) -> tuple[str, str]:
    namespace, _, own = name.partition("/")
    return namespace, own
