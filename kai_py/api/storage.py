"""Volumes, as far as they decide where a pod may run."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kai_py.api.meta import NO_QUANTITIES, ObjectMeta, Quantity, Record
from kai_py.api.pod import NO_RESOURCES, ResourceRequirements
from kai_py.api.selectors import LabelSelector, NodeSelector


class ClaimSpec(Record, frozen=True):
    """What the claim asks for. ``storage_class_name``: ``""`` is no class at all, absent is the default class."""

    access_modes: tuple[str, ...] = ()
    resources: ResourceRequirements = NO_RESOURCES
    selector: LabelSelector | None = None
    storage_class_name: str | None = None
    volume_attributes_class_name: str | None = None
    volume_mode: str = "Filesystem"
    volume_name: str = ""


class ClaimStatus(Record, frozen=True):
    """``phase``: Pending, Bound or Lost."""

    phase: str = ""


class PersistentVolumeClaim(Record, frozen=True):
    """A claim on a volume."""

    metadata: ObjectMeta
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class ClaimReference(Record, frozen=True):
    """The claim that a volume is bound to, or reserved for."""

    name: str = ""
    namespace: str = ""
    uid: str = ""


class VolumeNodeAffinity(Record, frozen=True):
    """The nodes from which a volume can be reached."""

    required: NodeSelector | None = None


class CsiVolume(Record, frozen=True):
    """A volume of a CSI driver."""

    driver: str
    volume_handle: str = ""


class VolumeSpec(Record, frozen=True):
    """What the volume offers."""

    capacity: Mapping[str, Quantity] = NO_QUANTITIES
    access_modes: tuple[str, ...] = ()
    claim_ref: ClaimReference | None = None
    csi: CsiVolume | None = None
    node_affinity: VolumeNodeAffinity | None = None
    storage_class_name: str = ""
    volume_attributes_class_name: str | None = None
    volume_mode: str = "Filesystem"


class VolumeStatus(Record, frozen=True):
    """``phase``: Pending, Available, Bound, Released or Failed."""

    phase: str = ""


class PersistentVolume(Record, frozen=True):
    """A volume."""

    metadata: ObjectMeta
    spec: VolumeSpec = VolumeSpec()
    status: VolumeStatus = VolumeStatus()


class TopologyLabel(Record, frozen=True):
    """A node label and the values that are allowed."""

    key: str
    values: tuple[str, ...] = ()


class TopologyTerm(Record, frozen=True):
    """Labels that must all match."""

    match_label_expressions: tuple[TopologyLabel, ...] = ()


class StorageClass(Record, frozen=True):
    """How volumes of a class are made, and where they may be made (any one of ``allowed_topologies``)."""

    metadata: ObjectMeta
    provisioner: str = ""
    volume_binding_mode: str = "Immediate"
    allowed_topologies: tuple[TopologyTerm, ...] = ()


class VolumeLimit(Record, frozen=True):
    """How many volumes of a driver a node can have attached; absent = as many as anybody likes."""

    count: int | None = None


class NodeDriver(Record, frozen=True):
    """A CSI driver on a node."""

    name: str
    node_id: str = msgspec.field(default="", name="nodeID")
    topology_keys: tuple[str, ...] = ()
    allocatable: VolumeLimit = VolumeLimit()


class CsiNodeSpec(Record, frozen=True):
    """The drivers on the node."""

    drivers: tuple[NodeDriver, ...] = ()


class CSINode(Record, frozen=True):
    """The CSI side of the node of the same name."""

    metadata: ObjectMeta
    spec: CsiNodeSpec = CsiNodeSpec()


class CsiDriverSpec(Record, frozen=True):
    """``storage_capacity``: whether the driver publishes how much room it has, so that schedulers must look."""

    attach_required: bool = True
    storage_capacity: bool = False


class CSIDriver(Record, frozen=True):
    """A CSI driver."""

    metadata: ObjectMeta
    spec: CsiDriverSpec = CsiDriverSpec()


class CSIStorageCapacity(Record, frozen=True):
    """How much room there is for a class on some nodes."""

    metadata: ObjectMeta
    storage_class_name: str = ""
    node_topology: LabelSelector | None = None
    capacity: Quantity | None = None
    maximum_volume_size: Quantity | None = None


class AttachmentSource(Record, frozen=True):
    """What is attached."""

    persistent_volume_name: str | None = None


class AttachmentSpec(Record, frozen=True):
    """Who attaches what to which node."""

    attacher: str = ""
    node_name: str = ""
    source: AttachmentSource = AttachmentSource()


class VolumeAttachment(Record, frozen=True):
    """A volume that is attached to a node, whether or not a pod uses it."""

    metadata: ObjectMeta
    spec: AttachmentSpec = AttachmentSpec()
