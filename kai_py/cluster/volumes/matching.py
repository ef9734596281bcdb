"""Which volume suits which claim, and where one can be made for it (Kubernetes: VolumeBinding)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from kai_py.api.quantity import to_units
from kai_py.api.storage import (
    CSIDriver,
    CSIStorageCapacity,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    TopologyTerm,
)
from kai_py.cluster.devices.reach import terms_of
from kai_py.cluster.encode.selectors import Selector
from kai_py.core.filters.volumes import ZONE_LABELS
from kai_py.core.resources import Mask
from kai_py.core.tables.classes import NodeTerm, Reach, Requirement
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.requirements import matches_labels, matches_term
from kai_py.errors import Fault, MalformedObjectError

#: Annotations and values of the volume controller.
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
_OLD_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
WAIT_FOR_CONSUMER: Final = "WaitForFirstConsumer"
EXCLUSIVE: Final = "ReadWriteOncePod"


@dataclass(frozen=True)
class Wanted:
    """What a claim wants of its volume; claims that want the same have the same candidates.

    Attributes:
        size: bytes.
        selector: over the volume's labels; None = any.
        attributes_class: name of the VolumeAttributesClass; empty = none.
    """

    storage_class: str
    size: int
    access_modes: frozenset[str]
    volume_mode: str
    selector: Selector | None
    attributes_class: str


def class_of(claim: PersistentVolumeClaim) -> str:
    """The storage class of a claim; empty = none."""
    return claim.metadata.annotations.get(_OLD_CLASS, "") or claim.spec.storage_class_name or ""


def is_bound(claim: PersistentVolumeClaim) -> bool:
    """Whether a claim has its volume for good."""
    completed = BIND_COMPLETED in claim.metadata.annotations or claim.status.phase == "Bound"
    return bool(claim.spec.volume_name) and completed


def waits_for_consumer(claim: PersistentVolumeClaim, classes: Mapping[str, StorageClass]) -> bool:
    """Whether a claim gets its volume when it is known where its pod will run."""
    found = classes.get(class_of(claim))
    return not claim.spec.volume_name and found is not None and found.volume_binding_mode == WAIT_FOR_CONSUMER


def wanted(claim: PersistentVolumeClaim) -> Wanted:
    """What a claim wants.

    Raises:
        MalformedObjectError: its selector or its size cannot be read.
    """
    where, spec = f"PersistentVolumeClaim {'/'.join(claim.metadata.key)}", claim.spec
    try:
        size = to_units(spec.resources.requests.get("storage", 0))
    except ValueError as error:
        raise MalformedObjectError([Fault(where, "spec.resources.requests.storage", str(error))]) from None
    selector = None if spec.selector is None else Selector.of(spec.selector, where=where, field="spec.selector")
    modes = frozenset(spec.access_modes)
    attributes = spec.volume_attributes_class_name or ""
    return Wanted(class_of(claim), size, modes, spec.volume_mode or "Filesystem", selector, attributes)


def size_of(volume: PersistentVolume) -> int:
    """Bytes; -1 where that cannot be read."""
    try:
        return to_units(volume.spec.capacity.get("storage", 0))
    except ValueError:
        return -1


def storage_class_of(volume: PersistentVolume) -> str:
    """The storage class of a volume; empty = none."""
    return volume.metadata.annotations.get(_OLD_CLASS, "") or volume.spec.storage_class_name


def is_reserved_for(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether a volume names a claim as the one that it is for."""
    named = volume.spec.claim_ref
    return (
        named is not None
        and (named.namespace, named.name) == claim.metadata.key
        and named.uid in ("", claim.metadata.uid)
    )


def suits(volume: PersistentVolume, want: Wanted) -> bool:
    """Whether a volume that may be had is large enough and of the right kind, wherever it is."""
    spec = volume.spec
    return (
        volume.metadata.deletion_timestamp is None
        and size_of(volume) >= want.size
        and (spec.volume_mode or "Filesystem") == want.volume_mode
        and (spec.volume_attributes_class_name or "") == want.attributes_class
    )


def is_candidate(volume: PersistentVolume, want: Wanted) -> bool:
    """Whether a volume that nobody has could be bound to a claim, wherever it is."""
    return (
        volume.spec.claim_ref is None
        and volume.status.phase == "Available"
        and storage_class_of(volume) == want.storage_class
        and suits(volume, want)
        and want.access_modes <= set(volume.spec.access_modes)
        and (want.selector is None or want.selector.matches(volume.metadata.labels))
    )


def affinity_of(volume: PersistentVolume) -> tuple[NodeTerm, ...] | None:
    """Terms of which a node must match one; None = any node will do."""
    affinity = volume.spec.node_affinity
    return None if affinity is None or affinity.required is None else terms_of(affinity.required)


def reach_of(volumes: Iterable[PersistentVolume], pinned: Iterable[str] = ()) -> Reach | None:
    """What volumes that a pod has ask of its node; None = nothing.

    Args:
        volumes: bound to its claims.
        pinned: nodes for which volumes are being made.
    """
    affinity, zones = [], list[tuple[str, tuple[str, ...]]]()
    for volume in volumes:
        if (terms := affinity_of(volume)) is not None:
            affinity.append(terms)
        for key in ZONE_LABELS:
            if value := volume.metadata.labels.get(key):
                zones.append((key, tuple(sorted(value.split("__")))))
    affinity += [(NodeTerm(names=(Requirement("metadata.name", "In", (node,)),)),) for node in pinned]
    return Reach(tuple(sorted(set(affinity), key=repr)), tuple(sorted(set(zones)))) if affinity or zones else None


def nodes_of(terms: tuple[NodeTerm, ...] | None, nodes: NodeTable) -> Mask:
    """``(N,)`` nodes that match any of some terms; all for None."""
    mask = np.full(len(nodes), terms is None, dtype=np.bool_)
    for term in terms or ():
        mask |= matches_term(term, nodes)
    return mask


def can_make(
    made_by: StorageClass,
    size: int,
    driver: CSIDriver | None,
    capacities: Iterable[CSIStorageCapacity],
    nodes: NodeTable,
) -> Mask:
    """``(N,)`` where a volume of a class can be made.

    Args:
        made_by: the class.
        size: bytes.
        driver: the CSIDriver of its provisioner, if there is one.
        capacities: of all classes.
        nodes: all nodes.
    """
    if not made_by.provisioner or made_by.provisioner == NO_PROVISIONER:
        return np.zeros(len(nodes), dtype=np.bool_)
    mask = _topologies(made_by.allowed_topologies, nodes)
    if size > 0 and driver is not None and driver.spec.storage_capacity:
        room = np.zeros(len(nodes), dtype=np.bool_)
        for capacity in capacities:
            if capacity.storage_class_name == made_by.metadata.name and _most(capacity) >= size:
                room |= _accessible(capacity, nodes)
        mask &= room
    return mask


def _topologies(terms: tuple[TopologyTerm, ...], nodes: NodeTable) -> Mask:
    """``(N,)`` nodes of any term; without terms all, and none of an empty term."""
    mask = np.full(len(nodes), not terms, dtype=np.bool_)
    for term in terms:
        matches = np.full(len(nodes), bool(term.match_label_expressions), dtype=np.bool_)
        for one in term.match_label_expressions:
            matches &= matches_labels(Requirement(one.key, "In", tuple(one.values)), nodes.labels)
        mask |= matches
    return mask


def _most(capacity: CSIStorageCapacity) -> int:
    """Bytes of the largest volume that can be made; -1 = nobody knows."""
    largest = capacity.maximum_volume_size if capacity.maximum_volume_size is not None else capacity.capacity
    try:
        return -1 if largest is None else to_units(largest)
    except ValueError:
        return -1


def _accessible(capacity: CSIStorageCapacity, nodes: NodeTable) -> Mask:
    if capacity.node_topology is None:
        return np.zeros(len(nodes), dtype=np.bool_)
    try:
        selector = Selector.of(capacity.node_topology, where="", field="")
    except MalformedObjectError:
        return np.zeros(len(nodes), dtype=np.bool_)
    mask = np.ones(len(nodes), dtype=np.bool_)
    for key, value in selector.labels:
        mask &= matches_labels(Requirement(key, "In", (value,)), nodes.labels)
    for one in selector.expressions:
        mask &= matches_labels(Requirement(one.key, one.operator, tuple(one.values)), nodes.labels)
    return mask
