"""Pods that have succeeded: a gang of which some have done their part waits for no others in their place.

A Job's pods end one by one. Where one of the last is lost and made anew, those that have ended will not be: a gang that
waited for its minimum of pods that run would never be whole again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from kai_py.api.pod import Pod
from kai_py.cluster.encode.podgroup import SubGroupRow
from kai_py.cluster.owners import OwnerBook
from kai_py.cluster.pods import Place
from kai_py.core.tables.pods import PodKey

Name = tuple[str, str]
_NOBODY: Final[Mapping[str, int]] = MappingProxyType({})


class FinishedBook:
    """Pods of ours that have succeeded and are still there, by podgroup and subgroup.

    There are few: Kubernetes collects finished pods beyond a threshold.

    Args:
        owners: what is known of those who own them.
        stub: makes of a pod what decides about its podgroup, and no more.
    """

    def __init__(self, owners: OwnerBook, stub: Callable[[Pod], Pod]) -> None:
        self._owners = owners
        self._stub = stub
        #: By namespace and name: a name belongs to one pod at a time.
        self._places: dict[Name, tuple[PodKey, Name, str]] = {}
        self._counts: dict[Name, Counter[str]] = {}
        self._changed: dict[Name, None] = {}
        #: Pods that may belong elsewhere when an owner is known, by its uid.
        self._open: dict[str, dict[PodKey, Pod]] = {}
        self._waits_for: dict[PodKey, str] = {}

    def __iter__(self) -> Iterator[PodKey]:
        return (key for key, _, _ in self._places.values())

    def put(self, key: PodKey, pod: Pod, place: Place) -> None:
        """A pod has succeeded; its place is its podgroup as far as that is known."""
        at = key, place.group, place.part
        if self._places.get(key[:2]) != at:
            self.replaced(key)
            self._places[key[:2]] = at
            self._counts.setdefault(place.group, Counter())[place.part] += 1
            self._changed[place.group] = None
        self._close(key)
        if (unknown := self._owners.unknown_above(pod.metadata)) is not None:
            self._open.setdefault(unknown, {})[key] = self._stub(pod)
            self._waits_for[key] = unknown

    def drop(self, key: PodKey) -> None:
        """A pod is gone."""
        if (at := self._places.get(key[:2])) is not None and at[0] == key:
            self.replaced(key)

    def replaced(self, key: PodKey) -> None:
        """Another pod, or one that has not succeeded, has this name."""
        if (at := self._places.pop(key[:2], None)) is not None:
            before, name, part = at
            self._close(before)
            self._counts[name] -= Counter([part])
            if not self._counts[name]:
                del self._counts[name]
            self._changed[name] = None

    def _close(self, key: PodKey) -> None:
        if (unknown := self._waits_for.pop(key, None)) is not None:
            del self._open[unknown][key]
            if not self._open[unknown]:
                del self._open[unknown]

    def place_again(self, owner: str, place: Callable[[Pod], Place | None]) -> None:
        """An owner is known from now on."""
        for key, stub in list(self._open.get(owner, {}).items()):
            if (at := place(stub)) is not None:
                self.put(key, stub, at)

    def of(self, name: Name) -> Mapping[str, int]:
        """How many pods of a podgroup have succeeded, by the subgroup that they name; empty where they name none."""
        return self._counts.get(name, _NOBODY)

    def changed(self) -> list[Name]:
        """Podgroups of which others have succeeded than at the last call."""
        changed, self._changed = list(self._changed), {}
        return changed


def relieved(
    rows: tuple[SubGroupRow, ...], succeeded: Mapping[str, int], there: Mapping[str, int]
) -> tuple[SubGroupRow, ...]:
    """The subgroups with minimums that can still be met.

    As many fewer are needed as have succeeded; but whoever is there is one of the gang, so that those who have been
    made in place of the succeeded ones start together.

    Args:
        rows: of the podgroup.
        succeeded: pods by subgroup.
        there: unfinished pods by subgroup.
    """
    if not succeeded:
        return rows
    alone = len(rows) == 1
    done = {"": sum(succeeded.values())} if alone else succeeded
    exist = {"": sum(there.values())} if alone else there
    return tuple(
        row._replace(min_member=min(row.min_member, max(exist.get(row.name, 0), row.min_member - done[row.name])))
        if row.leaf and done.get(row.name)
        else row
        for row in rows
    )
