"""The table of volumes in the making: what classes of pods ask for, and what keeps pods from being scheduled."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from kai_py.api.storage import PersistentVolume, PersistentVolumeClaim
from kai_py.cluster.volumes.book import VolumeBook
from kai_py.cluster.volumes.choices import Choices
from kai_py.cluster.volumes.matching import (
    EXCLUSIVE,
    Wanted,
    class_of,
    is_bound,
    reach_of,
    waits_for_consumer,
    wanted,
)
from kai_py.cluster.volumes.nodes import Handle, NodeSide, handle_of
from kai_py.cluster.volumes.uses import Disk, Name, Uses
from kai_py.core.resources import Rows
from kai_py.core.result import ReasonCode
from kai_py.core.tables.classes import ClassTable, Reach
from kai_py.core.tables.pods import PodKey
from kai_py.core.tables.volumes import PodVolumes, VolumeAsk, VolumeTable
from kai_py.errors import MalformedObjectError

Problem = tuple[ReasonCode, dict[str, str]]


@dataclass
class Found:
    """What one pod's volumes come to.

    Attributes:
        bound: volumes that its claims have.
        loose: claims that get theirs with the node, and what they want; the smallest first.
        pinned: nodes for which volumes of it are being made.
        handles: what will be attached for it.
        exclusive: claims that one pod alone may use.
    """

    bound: list[PersistentVolume] = field(default_factory=list)
    loose: list[tuple[PersistentVolumeClaim, Wanted]] = field(default_factory=list)
    pinned: list[str] = field(default_factory=list)
    handles: list[Handle] = field(default_factory=list)
    exclusive: list[Name] = field(default_factory=list)


class VolumeRows:
    """Collects pods, then makes tables.

    Args:
        book: all objects.
        side: what nodes reach and attach.
        choices: what claims choose from.
    """

    def __init__(self, book: VolumeBook, side: NodeSide, choices: Choices) -> None:
        self._book = book
        self._side = side
        self._classes = book.storage_classes
        self._found: dict[int, tuple[Found, Uses]] = {}
        self._choices = choices
        self._loose_users: Counter[Name] = Counter()

    def add(self, row: int, key: PodKey, uses: Uses, *, waits: bool) -> Problem | None:
        """Take a pod in; what keeps one that waits from being scheduled. Of others, what cannot be read is left out."""
        found = Found()
        for name in uses.claims:
            problem = self._claim(found, name, key if name in uses.own else None)
            if problem is not None and waits:
                return problem
        found.loose.sort(key=lambda one: one[1].size)
        self._found[row] = found, uses
        return None

    def _claim(self, found: Found, name: Name, owner: PodKey | None) -> Problem | None:
        """Sort in one claim."""
        text, claim = "/".join(name), self._book.claims.get(name)
        if claim is None:
            return ReasonCode.VOLUME_CLAIM_MISSING, {"claim": text}
        if owner is not None and (claim.metadata.controller is None or claim.metadata.controller.uid != owner.uid):
            return _invalid(text, "metadata.ownerReferences", "it was not made for this pod")
        if EXCLUSIVE in claim.spec.access_modes:
            found.exclusive.append(name)
        if claim.metadata.deletion_timestamp is not None:
            return _invalid(text, "metadata.deletionTimestamp", "it is being deleted")
        if claim.status.phase == "Lost":
            return _invalid(text, "status.phase", "its volume is lost")
        if is_bound(claim):
            return self._bound(found, text, claim)
        if not waits_for_consumer(claim, self._classes):
            return ReasonCode.VOLUME_UNBOUND, {"claim": text, "storageClass": class_of(claim)}
        try:
            want = wanted(claim)
        except MalformedObjectError as error:
            return _invalid(text, error.faults[0].field, error.faults[0].message)
        found.loose.append((claim, want))
        self._loose_users[name] += 1
        found.handles.append((self._classes[want.storage_class].provisioner, f"claim {text}"))
        if node := self._book.selected_for(claim):
            found.pinned.append(node)
        return None

    def _bound(self, found: Found, text: str, claim: PersistentVolumeClaim) -> Problem | None:
        volume = self._book.volume(claim.spec.volume_name)
        if volume is None:
            return _invalid(text, "spec.volumeName", f"there is no PersistentVolume {claim.spec.volume_name}")
        found.bound.append(volume)
        if (handle := handle_of(volume)) is not None:
            found.handles.append(handle)
        return None

    # -- tables ------------------------------------------------------------------------------------

    def tables(
        self, classes: ClassTable, class_idx: Rows, placed: Mapping[int, bool]
    ) -> tuple[ClassTable, Rows, VolumeTable]:
        """The classes with what their volumes ask for, ``(P,)`` rows in them, and the table.

        Args:
            classes: as they were.
            class_idx: ``(P,)``
            placed: pods that are placed, or may be placed anew, among those that were added: pod -> it waits.
        """
        limits = self._side.limits
        handles = sorted(
            {one for found, _ in self._found.values() for one in found.handles if one[0] in limits.drivers}
        )
        handles = sorted({*handles, *(handle for _, handle in limits.attached)})
        handle_row = {handle: row for row, handle in enumerate(handles)}
        users = Counter(handle for found, _ in self._found.values() for handle in set(found.handles))
        known = {handle for _, handle in limits.attached} | {handle for handle, count in users.items() if count > 1}
        exclusive = self._shared_claims()
        disks = _DiskRows([disk for _, uses in self._found.values() for disk in uses.disks])
        of_pod: dict[int, PodVolumes] = {}
        made, request, accounted = list(classes.classes), list(classes.request), list(classes.accounted)
        numbers: dict[tuple[int, Reach | None, VolumeAsk], int] = {}
        class_idx = class_idx.copy()
        for pod, (found, uses) in sorted(self._found.items()):
            rows = tuple(handle_row[one] for one in dict.fromkeys(found.handles) if one in handle_row)
            alone = tuple(exclusive[name] for name in found.exclusive if name in exclusive)
            on = disks.rows(uses.disks)
            waits = placed.get(pod)
            claims = tuple("/".join(claim.metadata.key) for claim, _ in found.loose) if waits else ()
            used = PodVolumes(claims, rows, alone, on)
            if claims or rows or alone or on:
                of_pod[pod] = used
            if waits is None:
                continue
            shared = tuple(row for row in rows if waits and handles[row] in known)
            fresh = Counter(limits.drivers.index(handles[row][0]) for row in rows if row not in shared)
            picks = (
                tuple(
                    self._choices.of(claim, want, shared=self._loose_users[claim.metadata.key] > 1)
                    for claim, want in found.loose
                )
                if waits
                else ()
            )
            ask = VolumeAsk(picks, tuple(sorted(fresh.items())), shared, alone, on)
            reach = reach_of(found.bound, found.pinned)
            if reach is None and ask == VolumeAsk():
                continue
            key = class_idx.item(pod), reach, ask
            if (number := numbers.get(key)) is None:
                number = numbers[key] = len(made)
                before = classes.classes[key[0]]
                made.append(dataclasses.replace(before, reach=reach, volumes=ask if ask != VolumeAsk() else None))
                request.append(classes.request[key[0]])
                accounted.append(classes.accounted[key[0]])
            class_idx[pod] = number
        table = VolumeTable(
            names=tuple(self._choices.names),
            place=np.array(self._choices.place, dtype=np.int32),
            reach=tuple(self._choices.reach),
            choices=tuple(self._choices.made),
            drivers=limits.drivers,
            limits=limits.most,
            driver_of=np.array([limits.drivers.index(driver) for driver, _ in handles], dtype=np.int32),
            attached=tuple((node, handle_row[handle]) for node, handle in limits.attached),
            of_pod=of_pod,
        )
        return ClassTable(tuple(made), np.array(request), np.array(accounted)), class_idx, table

    def _pick(self, claim: PersistentVolumeClaim, want: Wanted) -> int:
        return self._choices.of(claim, want, shared=self._loose_users[claim.metadata.key] > 1)

    def _shared_claims(self) -> dict[Name, int]:
        """Claims that one pod alone may use, and that more than one names."""
        users = Counter(name for found, _ in self._found.values() for name in found.exclusive)
        return {name: row for row, name in enumerate(sorted(name for name, count in users.items() if count > 1))}


class _DiskRows:
    """Numbers for disks: those that overlap have the same, those that one pod alone uses have none."""

    def __init__(self, disks: list[Disk]) -> None:
        self._rows: dict[Disk, int] = {}
        kinds: list[list[Disk]] = []
        for disk in sorted(set(disks), key=lambda one: (one.key, sorted(one.monitors), one.read_only)):
            same = [kind for kind in kinds if any(disk.is_same(other) for other in kind)]
            kinds = [kind for kind in kinds if kind not in same] + [[disk, *(one for kind in same for one in kind)]]
        users = Counter(disks)
        for row, kind in enumerate(kinds):
            if sum(users[disk] for disk in kind) > 1:
                self._rows |= dict.fromkeys(kind, row)

    def rows(self, disks: tuple[Disk, ...]) -> tuple[tuple[int, bool], ...]:
        return tuple((self._rows[disk], disk.read_only) for disk in disks if disk in self._rows)


def _invalid(claim: str, where: str, message: str) -> Problem:
    return ReasonCode.VOLUME_CLAIM_INVALID, {"claim": claim, "field": where, "message": message}
