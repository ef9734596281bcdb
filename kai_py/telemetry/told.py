"""What was told already, so that nobody is told twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from kai_py.core.result import Diagnosis, Reason

#: How old the numbers in a podgroup's condition may get, in seconds. 10,000 waiting podgroups make 33 writes a second.
DEFAULT_REFRESH: Final = 300.0

_Essence = tuple[object, ...]
_Numbers = tuple[tuple[Reason, ...], int]


class News(Enum):
    """What there is to tell about a podgroup.

    ``REASON``: it waits for another reason than was told, or waits since now: tell everybody, with an Event.
    ``PODS``: same reason, but some pods have not been told: write their conditions.
    ``NUMBERS``: same reason, other numbers, and the told ones are old: write the podgroup's condition again, no Event.
    ``SETTLED``: it waits no more: say so in the podgroup's condition.
    """

    REASON = auto()
    PODS = auto()
    NUMBERS = auto()
    SETTLED = auto()


@dataclass(frozen=True)
class Item:
    """One piece of news.

    Attributes:
        news: what kind.
        podgroup: ``namespace/name``.
        diagnosis: why it waits; None when it waits no more.
        pods: ``namespace/name`` of the pods whose conditions are to be written.
    """

    news: News
    podgroup: str
    diagnosis: Diagnosis | None = None
    pods: tuple[str, ...] = ()


@dataclass
class _Memory:
    """The reason of a podgroup: since when, and what of it was told last.

    ``told`` is None while the reason is too young to be told.
    """

    essence: _Essence
    numbers: _Numbers
    pods: tuple[str, ...]
    at: float
    told: _Essence | None = None


class Told:
    """The last told reason of every podgroup that waits.

    Reasons are the same when codes and names (queue, resource, subgroup, free text) are; counts, amounts, the
    histogram over nodes and the place in the queue may differ. They are compared as values: no text is rendered for
    what is not news. A pod that was deleted and created again under its name between two cycles counts as told.

    Args:
        refresh: see ``DEFAULT_REFRESH``.
        patience: seconds for which a reason must hold before anybody is told. Objects that belong together arrive one
            after the other: a gang whose PodGroup comes a moment after its pods never lacked one.
    """

    def __init__(self, *, refresh: float = DEFAULT_REFRESH, patience: float = 0.0) -> None:
        self._refresh = refresh
        self._patience = patience
        #: Whether something waits to become old enough to be told.
        self.pending = False
        self._memory: dict[str, _Memory] = {}

    def __len__(self) -> int:
        return len(self._memory)

    def news(self, diagnoses: Iterable[Diagnosis], now: float) -> list[Item]:
        """What a cycle's diagnoses have that was not told; from now on, it counts as told.

        Args:
            diagnoses: of all podgroups that wait; a podgroup without one has stopped waiting.
            now: seconds on any monotonic scale.
        """
        items: list[Item] = []
        waiting = set()
        self.pending = False
        for diagnosis in diagnoses:
            waiting.add(diagnosis.podgroup)
            items.extend(self._hear(diagnosis, now))
        settled = [podgroup for podgroup in self._memory if podgroup not in waiting]
        forgotten = {podgroup: self._memory.pop(podgroup) for podgroup in settled}
        items += [Item(News.SETTLED, podgroup) for podgroup, memory in forgotten.items() if memory.told is not None]
        return items

    def retract(self, podgroup: str) -> None:
        """Telling failed: next time it is news again."""
        self._memory.pop(podgroup, None)

    def clear(self) -> None:
        """Forget everything, e.g. on becoming the leader: what another process told is compared in ``conditions``."""
        self._memory.clear()

    def _hear(self, diagnosis: Diagnosis, now: float) -> Iterator[Item]:
        podgroup, numbers = diagnosis.podgroup, (diagnosis.reasons, diagnosis.position)
        known = self._memory.get(podgroup)
        # The essence is computed only where something differs: in most cycles, most podgroups wait as they did.
        if known is None:
            known = self._memory[podgroup] = _Memory(_essence(diagnosis), numbers, (), now)
        elif known.numbers != numbers and known.essence != (essence := _essence(diagnosis)):
            known.essence, known.numbers, known.at = essence, numbers, now
        if known.told != known.essence:
            yield from self._tell(known, diagnosis, now)
            return
        if known.pods != diagnosis.pods:
            newcomers = tuple(sorted(set(diagnosis.pods) - set(known.pods)))
            known.pods = diagnosis.pods
            if newcomers:
                yield Item(News.PODS, podgroup, diagnosis, newcomers)
        if known.numbers != numbers and now - known.at >= self._refresh:
            known.numbers, known.at = numbers, now
            yield Item(News.NUMBERS, podgroup, diagnosis)

    def _tell(self, known: _Memory, diagnosis: Diagnosis, now: float) -> Iterator[Item]:
        """A new reason, as soon as it has held for long enough."""
        if now - known.at < self._patience:
            self.pending = True
            return
        known.told, known.pods, known.at = known.essence, diagnosis.pods, now
        known.numbers = (diagnosis.reasons, diagnosis.position)
        yield Item(News.REASON, diagnosis.podgroup, diagnosis, diagnosis.pods)


def _essence(diagnosis: Diagnosis) -> _Essence:
    """Codes and names, no numbers."""
    return tuple(
        (reason.code, tuple(sorted((key, value) for key, value in reason.details.items() if isinstance(value, str))))
        for reason in diagnosis.reasons
    )
