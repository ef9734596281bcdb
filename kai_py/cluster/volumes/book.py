"""All objects about volumes, and which pods use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kai_py.api.pod import Pod
from kai_py.api.storage import (
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    VolumeAttachment,
)
from kai_py.cluster.volumes.matching import is_reserved_for
from kai_py.cluster.volumes.uses import Name, Uses, uses_of
from kai_py.core.tables.pods import PodKey

Stored = (
    PersistentVolume
    | PersistentVolumeClaim
    | StorageClass
    | CSIDriver
    | CSINode
    | CSIStorageCapacity
    | VolumeAttachment
)
KINDS: Final = (
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    VolumeAttachment,
)


class VolumeBook:
    """Objects by kind and name, and the volumes that pods use.

    Attributes:
        revision: a new object with every change that can matter to a pod.
        uses: of unfinished pods that use any.
        promised: volumes that we have given to claims, until the watch says so.
    """

    def __init__(self) -> None:
        self.revision = object()
        self.uses: dict[PodKey, Uses] = {}
        self.promised: dict[str, Name] = {}
        self._reserved: dict[Name, str] = {}
        self._objects: dict[type, dict[Name, Any]] = {kind: {} for kind in KINDS}

    # -- objects -----------------------------------------------------------------------------------

    def put(self, found: Stored) -> bool:
        """Take in an object; tells whether it changed, as far as anybody could tell."""
        objects, name = self._objects[type(found)], found.metadata.key
        before = objects.get(name)
        objects[name] = found
        if isinstance(found, PersistentVolume):
            self._reserve(before, found)
        changed = before is None or _essence(before) != _essence(found)
        if changed:
            self.revision = object()
        return changed and bool(self.uses)

    def drop(self, kind: type, name: Name) -> bool:
        """Forget an object."""
        known = self._objects[kind].pop(name, None)
        if known is None:
            return False
        if kind is PersistentVolume:
            self._reserve(known, None)
        self.revision = object()
        return bool(self.uses)

    def _reserve(self, before: PersistentVolume | None, after: PersistentVolume | None) -> None:
        """Note for which claim a volume is."""
        if before is not None and before.spec.claim_ref is not None:
            claim = before.spec.claim_ref.namespace, before.spec.claim_ref.name
            if self._reserved.get(claim) == before.metadata.name:
                del self._reserved[claim]
        if after is not None and after.spec.claim_ref is not None:
            self._reserved[after.spec.claim_ref.namespace, after.spec.claim_ref.name] = after.metadata.name
            self.promised.pop(after.metadata.name, None)

    def reserved_for(self, claim: PersistentVolumeClaim) -> PersistentVolume | None:
        """The volume that names a claim as the one that it is for."""
        name = self._reserved.get(claim.metadata.key)
        volume = self.volume(name) if name is not None else None
        return volume if volume is not None and is_reserved_for(volume, claim) else None

    def promise(self, volume: str, claim: Name) -> None:
        """A volume has been given to a claim by us."""
        self.promised[volume] = claim
        self.revision = object()

    def release(self, volume: str) -> None:
        """That came to nothing."""
        if self.promised.pop(volume, None) is not None:
            self.revision = object()

    @property
    def claims(self) -> Mapping[Name, PersistentVolumeClaim]:
        """PersistentVolumeClaims by namespace and name."""
        return self._objects[PersistentVolumeClaim]

    @property
    def storage_classes(self) -> Mapping[str, StorageClass]:
        """StorageClasses by name."""
        return {name: found for (_, name), found in self._objects[StorageClass].items()}

    def volume(self, name: str) -> PersistentVolume | None:
        """A PersistentVolume."""
        found: PersistentVolume | None = self._objects[PersistentVolume].get(("", name))
        return found

    def all(self, kind: type) -> Iterator[Any]:
        """All objects of a kind, by name."""
        objects = self._objects[kind]
        return (objects[name] for name in sorted(objects))

    # -- pods --------------------------------------------------------------------------------------

    def see(self, key: PodKey, pod: Pod) -> None:
        """Take in a pod that holds capacity, or wants some."""
        found = uses_of(pod) if pod.spec.volumes else None
        if found is not None:
            if self.uses.get(key) != found:
                self.uses[key] = found
        elif self.uses:
            self.uses.pop(key, None)

    def forget(self, key: PodKey) -> None:
        """A pod is gone."""
        self.uses.pop(key, None)


def _essence(found: Stored) -> tuple[object, ...]:
    """What of an object can matter: resource versions and managed fields do not."""
    meta = found.metadata
    identity = (meta.uid, meta.labels, meta.annotations, meta.deletion_timestamp, meta.owner_references)
    match found:
        case PersistentVolume() | PersistentVolumeClaim():
            return (*identity, found.spec, found.status)
        case CSINode() | CSIDriver() | VolumeAttachment():
            return (*identity, found.spec)
        case CSIStorageCapacity():
            return (*identity, found.storage_class_name, found.node_topology, found.capacity, found.maximum_volume_size)
        case _:
            return (*identity, found.provisioner, found.volume_binding_mode, found.allowed_topologies)
