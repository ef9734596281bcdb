"""Volumes of a cluster that carries decisions out at once: claims get theirs as their pods get nodes."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from kai_py.api.meta import ObjectMeta
from kai_py.api.selectors import NodeSelector, NodeSelectorTerm, Requirement
from kai_py.api.storage import (
    ClaimReference,
    ClaimStatus,
    CSINode,
    CsiVolume,
    PersistentVolume,
    PersistentVolumeClaim,
    VolumeNodeAffinity,
    VolumeSpec,
    VolumeStatus,
)
from kai_py.cluster.nodes import NodeBook
from kai_py.cluster.volumes.book import VolumeBook
from kai_py.cluster.volumes.matching import class_of
from kai_py.core.result import Bind

_BOUND: Final = "Bound"


def bind_volumes(book: VolumeBook, bind: Bind, nodes: NodeBook) -> None:
    """Do what the volume controller does once a pod has its node: bind claims, and make volumes for them.

    Args:
        book: has the claims and volumes.
        bind: the decision.
        nodes: a volume that is made can be reached where its node's driver says that its topology ends.
    """
    for text, name in bind.volumes:
        namespace, _, own = text.partition("/")
        claim = book.claims[namespace, own]
        found = book.volume(name) if name else None
        volume = found if found is not None else _made(book, claim, bind.node, nodes)
        to = ClaimReference(own, namespace, claim.metadata.uid)
        book.put(replace(volume, spec=replace(volume.spec, claim_ref=to), status=VolumeStatus(_BOUND)))
        spec = replace(claim.spec, volume_name=volume.metadata.name)
        book.put(replace(claim, spec=spec, status=ClaimStatus(_BOUND)))


def _made(book: VolumeBook, claim: PersistentVolumeClaim, node: str, nodes: NodeBook) -> PersistentVolume:
    driver = book.storage_classes[class_of(claim)].provisioner
    meta = ObjectMeta(f"pvc-{claim.metadata.uid}")
    affinity = _where(book, driver, node, nodes)
    return PersistentVolume(
        meta,
        VolumeSpec(
            capacity=claim.spec.resources.requests,
            access_modes=claim.spec.access_modes,
            csi=CsiVolume(driver, meta.name),
            node_affinity=None if affinity is None else VolumeNodeAffinity(affinity),
            storage_class_name=class_of(claim),
            volume_mode=claim.spec.volume_mode,
        ),
    )


def _where(book: VolumeBook, driver: str, node: str, nodes: NodeBook) -> NodeSelector | None:
    """The node's values of the labels by which its driver tells places apart; None where it does not."""
    keys = [
        key
        for found in book.all(CSINode)
        if found.metadata.name == node
        for one in found.spec.drivers
        if one.name == driver
        for key in one.topology_keys
    ]
    labels = nodes.labels_of(node)
    found = [Requirement(key, "In", (labels[key],)) for key in keys if key in labels]
    return NodeSelector((NodeSelectorTerm(tuple(found)),)) if found else None
