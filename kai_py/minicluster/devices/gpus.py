"""GPUs as NVIDIA's DRA driver publishes them (``gpu.nvidia.com``): whole, cut by MIG, or passed through by VFIO.

Names of devices, attributes, capacities and counters are those of the driver (k8s-dra-driver-gpu, with dynamic MIG and
passthrough). Two attributes are ours, since the driver says nothing of the kind: ``nvlinkDomain`` of every linked GPU,
and ``numa`` also of GPUs that are not passed through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .hardware import Gpu
from .models import Profile, mebibytes

Object = dict[str, Any]

DRIVER: Final = "gpu.nvidia.com"
_VENDOR: Final = "0x10de"
_DRIVER_VERSION: Final = "580.65.6"
_CUDA_VERSION: Final = "13.0.0"


def whole(gpu: Gpu) -> Object:
    """A GPU as one device."""
    return {
        "name": _name(gpu),
        "attributes": whole_attributes(gpu, "gpu"),
        "capacity": {"memory": {"value": mebibytes(gpu.memory)}},
    }


def passed_through(gpu: Gpu) -> Object:
    """A GPU for a virtual machine."""
    attributes = {
        "type": {"string": "vfio"},
        "uuid": {"string": gpu.uuid},
        "deviceID": {"string": gpu.model.device_id},
        "vendorID": {"string": _VENDOR},
        "numa": {"int": gpu.slot.numa},
        "productName": {"string": gpu.product},
        "iommuFDEnabled": {"bool": True},
    }
    return {
        "name": f"gpu-vfio-{gpu.index}",
        "attributes": attributes | _links(gpu),
        "capacity": {"addressableMemory": {"value": mebibytes(gpu.memory)}},
    }


def partitioned(gpu: Gpu) -> Iterator[Object]:
    """A GPU and every part that MIG can cut out of it, each with what it takes of the GPU's counters; by name.

    A GPU that cannot be cut is whole, and has no counters.
    """
    if not gpu.model.profiles:
        yield whole(gpu)
        return
    everything = gpu.model.profiles[-1]
    yield whole(gpu) | {"capacity": _capacity(everything)} | _consumes(gpu, everything, 0)
    parts = [(profile, start) for profile in gpu.model.profiles for start in profile.starts]
    for name, profile, start in sorted((_part_name(gpu, *part), *part) for part in parts):
        common = _common(gpu) | _links(gpu)
        special = {
            "type": {"string": "mig"},
            "parentUUID": {"string": gpu.uuid},
            "profile": {"string": profile.name},
        }
        yield {"name": name, "attributes": special | common, "capacity": _capacity(profile)} | _consumes(
            gpu, profile, start
        )


def counter_set(gpu: Gpu) -> Object | None:
    """What a GPU and its parts share: the engines, and each slice of memory by its place. None if it cannot be cut."""
    if not gpu.model.profiles:
        return None
    everything = gpu.model.profiles[-1]
    return {"name": _counter_set_name(gpu), "counters": _counters(everything, 0)}


def whole_attributes(gpu: Gpu, kind: str) -> Object:
    """The attributes of a whole GPU, with this ``type``."""
    return {"type": {"string": kind}, "uuid": {"string": gpu.uuid}} | _common(gpu) | _links(gpu)


def _common(gpu: Gpu) -> Object:
    return {
        "productName": {"string": gpu.product},
        "brand": {"string": "Nvidia"},
        "architecture": {"string": gpu.architecture},
        "cudaComputeCapability": {"version": gpu.model.capability},
        "driverVersion": {"version": _DRIVER_VERSION},
        "cudaDriverVersion": {"version": _CUDA_VERSION},
        "numa": {"int": gpu.slot.numa},
    }


def _links(gpu: Gpu) -> Object:
    return gpu.slot.attributes() | ({"nvlinkDomain": {"string": gpu.nvlink}} if gpu.nvlink else {})


def _name(gpu: Gpu) -> str:
    return f"gpu-{gpu.index}"


def _part_name(gpu: Gpu, profile: Profile, start: int) -> str:
    short = profile.name.replace(".", "").replace("+", "-")
    return f"{_name(gpu)}-mig-{short}-{profile.number}-{start}"


def _counter_set_name(gpu: Gpu) -> str:
    return f"{_name(gpu)}-counter-set"


def _capacity(profile: Profile) -> Object:
    return {name: {"value": text} for name, text in profile.engines().items()}


def _consumes(gpu: Gpu, profile: Profile, start: int) -> Object:
    return {"consumesCounters": [{"counterSet": _counter_set_name(gpu), "counters": _counters(profile, start)}]}


#: The driver's names of capacities, and of the counters made of them.
_COUNTERS: Final[Mapping[str, str]] = {
    "multiprocessors": "multiprocessors",
    "copyEngines": "copy-engines",
    "decoders": "decoders",
    "encoders": "encoders",
    "jpegEngines": "jpeg-engines",
    "ofaEngines": "ofa-engines",
    "memory": "memory",
}


def _counters(profile: Profile, start: int) -> Object:
    engines = {_COUNTERS[name]: {"value": text} for name, text in profile.engines().items()}
    return engines | {f"memory-slice-{slot}": {"value": "1"} for slot in range(start, start + profile.size)}
