"""Which claims and disks a pod uses, by its spec."""

from __future__ import annotations

from typing import NamedTuple

from kai_py.api.pod import Pod, Volume

Name = tuple[str, str]


class Disk(NamedTuple):
    """A disk that is attached without a claim.

    Attributes:
        key: what it is; disks of one key are the same one if ``monitors`` overlap, or neither has any.
        monitors: of the Ceph cluster that it is in.
    """

    key: tuple[str, ...]
    read_only: bool
    monitors: frozenset[str] = frozenset()

    def is_same(self, other: Disk) -> bool:
        """Whether two are one."""
        return self.key == other.key and (self.monitors == other.monitors or bool(self.monitors & other.monitors))


class Uses(NamedTuple):
    """What a pod uses.

    Attributes:
        claims: namespace and name, each once, in the pod's order.
        own: those of them that are made for the pod, and die with it.
        disks: attached without a claim.
    """

    claims: tuple[Name, ...]
    own: frozenset[Name]
    disks: tuple[Disk, ...]


def uses_of(pod: Pod) -> Uses | None:
    """What of a pod's volumes decides where it may run; None = nothing."""
    claims: dict[Name, None] = {}
    own: set[Name] = set()
    disks = []
    namespace, name = pod.metadata.key
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            claims[namespace, volume.persistent_volume_claim.claim_name] = None
        elif volume.ephemeral is not None:
            claim = namespace, f"{name}-{volume.name}"
            claims[claim] = None
            own.add(claim)
        elif (disk := _disk(volume)) is not None:
            disks.append(disk)
    return Uses(tuple(claims), frozenset(own), tuple(disks)) if claims or disks else None


def _disk(volume: Volume) -> Disk | None:
    """Kubernetes: VolumeRestrictions. An EBS volume is nobody else's, whether it is written or not."""
    if (gce := volume.gce_persistent_disk) is not None:
        return Disk(("gce", gce.pd_name), gce.read_only)
    if (aws := volume.aws_elastic_block_store) is not None:
        return Disk(("aws", aws.volume_id), read_only=False)
    if (iscsi := volume.iscsi) is not None:
        return Disk(("iscsi", iscsi.iqn), iscsi.read_only)
    if (rbd := volume.rbd) is not None:
        return Disk(("rbd", rbd.pool, rbd.image), rbd.read_only, frozenset(rbd.monitors))
    return None
