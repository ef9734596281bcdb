"""Settings about devices: claims on them, and GPUs that pods share."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, Strict, model_validator

from kai_py.api.duration import Duration
from kai_py.api.keys import NVIDIA_DEVICES
from kai_py.settings.base import SettingsGroup, not_negative, unique

GpuParts = Literal["whole", "memory", "counters"]
#: How GPUs are shared by pods that ask for parts of them.
GpuSharing = Literal["none", "reservation", "trusted", "claims"]
GpuSharingChoice = Literal["reservation", "trusted", "claims"]


class DynamicResources(SettingsGroup):
    """Devices that pods claim (dynamic resource allocation)."""

    gpu_classes: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Strict(False), AfterValidator(unique)
    ] = (NVIDIA_DEVICES,)
    """Drivers and DeviceClasses whose devices count as GPUs of the queues' `gpu` quota: the class counts for what is
    claimed, the driver for what is allocated and for what there is. The list replaces the default one. Claims on such
    devices that are not made from templates must carry the label of their queue. NVIDIA's by default, as in KAI."""
    binding_timeout: Annotated[Duration, AfterValidator(not_negative)] = Duration.of_seconds(600)
    """How long devices that must be prepared before a pod is bound (binding conditions) may take, counted from their
    allocation. Then they are given back, and the pod goes elsewhere. More of it suits fabrics that take long to attach
    a device, and keeps a device that will never be ready from others for longer. Ten minutes by default, as in
    kube-scheduler."""
    gpu_parts: GpuParts = "memory"
    """How a GPU counts that is cut from another one (partitions with shared counters, as MIG), or that is shared
    (consumable capacity). `memory`, the default: as the part of the memory that it has, so that seven `1g.10gb` of an
    80 GB GPU are seven eighths of a GPU; by all counters or capacities where none is called `memory`. `counters`: as
    the mean over all counters or capacities. `whole`: as one GPU each, as in KAI."""


_ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
_Namespace = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


#: A capacity as a claim names it: with the domain of somebody else, or without one, of the driver itself.
_CAPACITY: Final = re.compile(r"([a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?/)?[A-Za-z_][A-Za-z0-9_]{0,31}")


def _is_capacity(name: str) -> str:
    if not _CAPACITY.fullmatch(name):
        raise ValueError(
            f"{name!r} is not the name of a capacity: an identifier of at most 32 letters, digits and _, with DOMAIN/ "
            "before it or without"
        )
    return name


_Capacity = Annotated[str, AfterValidator(_is_capacity)]


class GpuShareClaims(SettingsGroup):
    """Which devices are shared, and what of them (`gpuSharing: claims`)."""

    device_class_name: Annotated[str, Field(max_length=253, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")] = ""
    """DeviceClass of the GPUs that are shared, which a driver's installation brings. Those of its devices count that
    may be allocated several times. Has to be given where pods may share GPUs by claims, and has to be among
    `dra.gpuClasses` then, so that queues pay; empty by default, because drivers call it differently."""
    memory: _Capacity = "memory"
    """The capacity of these devices that is their memory, as the driver names it. Without a domain it is the driver's
    own. `memory` by default, as HAMi's driver has it."""
    in_proportion: Annotated[tuple[_Capacity, ...], Strict(False), Field(max_length=8), AfterValidator(unique)] = ()
    """Further capacities of which a pod gets the same part as of the memory, such as `cores`. Needed where a driver
    gives all of a capacity to a claim that does not mention it: then nobody else fits on the device. None by
    default."""

    @model_validator(mode="after")
    def _memory_once(self) -> Self:
        if self.memory in self.in_proportion:
            raise ValueError(f"inProportion names {self.memory!r}, which is the memory already")
        return self


class GpuReservation(SettingsGroup):
    """The pods that hold whole GPUs for those that share them (`gpuSharing: reservation`)."""

    namespace: _Namespace = "kai-resource-reservation"
    """Where they are. KAI's namespace by default, so that those that KAI has left behind are recognised. A change
    takes effect when the scheduler is started again."""
    service_account: _ObjectName = "kai-resource-reservation"
    """As whom they run: it has to be allowed to get and patch pods in their namespace, and nothing else."""
    image: Annotated[str, Field(min_length=1)] = "ghcr.io/nvidia/kai-scheduler/resourcereservation:v0.13.0"
    """What they run: it finds the one GPU that it has, and writes the GPU's UUID into the annotation
    `run.ai/reserve_for_gpu_index` of its own pod. KAI's by default."""
    runtime_class_name: Annotated[str, Field(max_length=253)] = "nvidia"
    """RuntimeClass of these pods, and of pods with a part of a GPU that name none. KAI's by default, which NVIDIA's GPU
    operator installs. Empty: none is set."""
    priority_class_name: Annotated[str, Field(max_length=253)] = ""
    """PriorityClass of these pods. This scheduler never ends one for others' sake, but another one on the same nodes,
    or a kubelet in need, may. Empty by default, because a class has to exist."""
    timeout: Annotated[Duration, AfterValidator(not_negative)] = Duration.of_seconds(60)
    """How long a pod with a part of a GPU waits for the device to be reported, after it was given a node. Then it goes
    elsewhere, and keeps away from the node for five minutes. A minute by default: the first time the image has to be
    pulled."""
    cdi: bool = False
    """Whether devices are named to the container runtime by the Container Device Interface
    (`k8s.device-plugin.nvidia.com/gpu=<UUID>`) instead of by their UUIDs. Off by default, as in KAI."""
