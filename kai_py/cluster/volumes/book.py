"""All objects about volumes, and which pods use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, get_args

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
from kai_py.cluster.volumes.matching import SELECTED_NODE, is_bound, is_reserved_for
from kai_py.cluster.volumes.uses import Name, Uses, uses_of
from kai_py.core.result import Bind
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
KINDS: Final[tuple[type[Stored], ...]] = get_args(Stored)


class Promise(NamedTuple):
    """What we have decided for a claim.

    Attributes:
        pod: for which.
        volume: its name; empty = one is made.
        node: where.
    """

    pod: PodKey
    volume: str
    node: str


class VolumeBook:
    """Objects by kind and name, and the volumes that pods use.

    Attributes:
        revision: a new object with every change that can matter to a pod.
        uses: of unfinished pods that use any.
        promised: what we have decided for claims, until they are bound.
    """

    def __init__(self) -> None:
        self.revision = object()
        self.uses: dict[PodKey, Uses] = {}
        self.promised: dict[Name, Promise] = {}
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
        elif isinstance(found, PersistentVolumeClaim) and is_bound(found):
            self.promised.pop(name, None)
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

    def reserved_for(self, claim: PersistentVolumeClaim) -> PersistentVolume | None:
        """The volume that is for a claim: it says so, or we have given it."""
        promise = self.promised.get(claim.metadata.key)
        name = promise.volume if promise is not None else self._reserved.get(claim.metadata.key)
        volume = self.volume(name) if name else None
        known = volume is not None and (promise is not None or is_reserved_for(volume, claim))
        return volume if known else None

    def selected_for(self, claim: PersistentVolumeClaim) -> str:
        """The node on which a volume is made for a claim; empty if there is none."""
        promise = self.promised.get(claim.metadata.key)
        if promise is not None and not promise.volume:
            return promise.node
        return claim.metadata.annotations.get(SELECTED_NODE, "")

    def assume(self, bind: Bind, key: PodKey) -> None:
        """A decision counts from now on, before the API server has confirmed it."""
        for text, volume in bind.volumes:
            namespace, _, name = text.partition("/")
            self.promised[namespace, name] = Promise(key, volume, bind.node)
            self.revision = object()

    def release(self, key: PodKey) -> None:
        """A decision came to nothing; what has been written for it by then stays."""
        for claim in [claim for claim, promise in self.promised.items() if promise.pod == key]:
            del self.promised[claim]
            self.revision = object()

    # -- answers -----------------------------------------------------------------------------------

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
        self.release(key)
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
