"""Pod classes: pods that ask for the same thing share one row of every (C, N) array."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from kai_py.core.resources import Amounts, Cost
from kai_py.core.tables.devices import Share
from kai_py.core.tables.volumes import VolumeAsk
from kai_py.core.tables.zones import Alignment


@dataclass(frozen=True)
class Requirement:
    """One expression of a node selector. ``operator`` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeTerm:
    """Expressions over labels and over the node's name, ANDed. Without any, the term matches nothing."""

    labels: tuple[Requirement, ...] = ()
    names: tuple[Requirement, ...] = ()


@dataclass(frozen=True)
class PreferredTerm:
    """A node term that is worth ``weight`` (1..100) where it matches."""

    weight: int
    term: NodeTerm


@dataclass(frozen=True)
class Toleration:
    """Defaults as in the API: no key with Exists tolerates every taint, no effect means all effects."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


@dataclass(frozen=True)
class Reach:
    """From which nodes the volumes that a pod has already can be reached; labels alone decide.

    Attributes:
        affinity: for each volume that has one, the terms of which one must match.
        zones: labels of volumes that name zones or regions, and the values that each allows.
    """

    affinity: tuple[tuple[NodeTerm, ...], ...] = ()
    zones: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class PodClass:
    """What a pod asks of a node, apart from who it belongs to.

    Attributes:
        request: ``(R,)`` base units as a tuple, so that classes can be compared and hashed.
        node_name: the node that the pod insists on; empty = any.
        selector: ``nodeSelector`` pairs, ANDed.
        required: terms of the required node affinity, ORed; None = no such affinity, () = matches nothing.
        preferred: terms of the preferred node affinity.
        tolerations: what it tolerates.
        excluded: names of nodes on which it failed to bind a moment ago.
        share: the part of devices that it asks for beside ``request``; None = none.
        reach: what its volumes ask of nodes; None = it has none that ask anything.
        volumes: what it asks of volumes while it is placed; None = nothing.
        claims: what tells its claims from those of other classes; () = it has none. See ``ClaimTable.of_class``.
        alignment: what a kubelet aligns on NUMA nodes; None = nothing.
        features: what a node has to declare.
        kind: row in ``NeighbourTable.kinds``; -1 = neighbours do not matter to it, nor it to them.
        images: of its containers, with tags; () where nobody asks who has them.
    """

    request: tuple[int, ...]
    node_name: str = ""
    selector: tuple[tuple[str, str], ...] = ()
    required: tuple[NodeTerm, ...] | None = None
    preferred: tuple[PreferredTerm, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    excluded: frozenset[str] = frozenset()
    share: Share | None = None
    reach: Reach | None = None
    volumes: VolumeAsk | None = None
    claims: tuple[Hashable, ...] = ()
    alignment: Alignment | None = None
    features: tuple[str, ...] = ()
    kind: int = -1
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassTable:
    """The pod classes of a snapshot, in order of first use.

    Attributes:
        classes: ``(C,)``
        request: ``(C, R)`` base units.
        accounted: ``(C, A)`` what a pod of the class costs its queue, base units.
    """

    classes: tuple[PodClass, ...]
    request: Amounts
    accounted: Amounts = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def costs(self) -> tuple[Cost, ...]:
        """``(C,)`` the rows of ``accounted`` as tuples."""
        return tuple(map(tuple, self.accounted.tolist()))
