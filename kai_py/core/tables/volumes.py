"""Volumes: where those of a pod can be reached, those that it has yet to get, and what nodes can attach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kai_py.core.resources import Amounts, Mask, Rows

#: A limit that no node reaches: drivers that publish none attach as many volumes as anybody likes.
UNLIMITED: Final = 2**31


@dataclass(frozen=True, eq=False)
class Choice:
    """Claims that want the same and get it with their pod's node (``WaitForFirstConsumer``).

    Attributes:
        candidates: rows of the volumes that would do, the best first: the smallest, then by name.
        made: ``(N,)`` where one can be made.
        shared: several pods use one claim: what the first of them gets, all have.
    """

    candidates: Rows
    made: Mask
    shared: bool = False


@dataclass(frozen=True)
class VolumeAsk:
    """What the pods of a class ask of volumes while they are placed.

    Attributes:
        picks: for claims that get their volumes rows of ``VolumeTable.choices``, in the order in which they choose.
        attached: (column of the driver, volumes of it), of those that are nowhere attached yet.
        shared: handles, rows, that are attached somewhere already.
        exclusive: rows of claims that one pod alone may use in the whole cluster.
        disks: (row of a disk, whether it is only read) that two pods on one node may be in each other's way with.
    """

    picks: tuple[int, ...] = ()
    attached: tuple[tuple[int, int], ...] = ()
    shared: tuple[int, ...] = ()
    exclusive: tuple[int, ...] = ()
    disks: tuple[tuple[int, bool], ...] = ()


@dataclass(frozen=True)
class PodVolumes:
    """What one pod uses.

    Attributes:
        claims: ``namespace/name`` of the claims that get volumes, in the order of ``VolumeAsk.picks``.
        handles: rows of the volumes that are attached for it, or will be.
        exclusive: rows of claims that it alone may use.
        disks: as in ``VolumeAsk``.
    """

    claims: tuple[str, ...] = ()
    handles: tuple[int, ...] = ()
    exclusive: tuple[int, ...] = ()
    disks: tuple[tuple[int, bool], ...] = ()


@dataclass(frozen=True)
class VolumeTable:
    """All volumes that matter to some pod.

    Attributes:
        names: ``(V,)`` volumes that nobody has and somebody could get.
        place: ``(V,)`` from where each is reached, a row of ``reach``: many are reached from the same nodes.
        reach: ``(W,)`` rows of nodes, ascending.
        choices: what claims choose from.
        drivers: ``(D,)`` that limit how many volumes a node attaches.
        limits: ``(N, D)``
        driver_of: ``(H,)`` column of each handle.
        attached: (node, handle) of what is attached whether or not a pod uses it.
        of_pod: pods that use something.
    """

    names: tuple[str, ...]
    place: Rows
    reach: tuple[Rows, ...]
    choices: tuple[Choice, ...]
    drivers: tuple[str, ...]
    limits: Amounts
    driver_of: Rows
    attached: tuple[tuple[int, int], ...]
    of_pod: Mapping[int, PodVolumes]
