"""What a kubelet aligns of a pod on NUMA nodes.

CPUs are exclusive, and so aligned, for containers of Guaranteed pods that ask for whole ones; memory and huge pages are
for Guaranteed pods; devices for all. Requests for the pod as a whole give nobody exclusive CPUs or memory.
Source: https://kubernetes.io/docs/tasks/administer-cluster/topology-manager/ and the pages of the CPU, memory and
device managers that it links.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from kai_py.api.pod import Container, Pod
from kai_py.api.quantity import to_units
from kai_py.cluster.encode.axis import per_unit
from kai_py.cluster.encode.requests import Units, asked_by, larger, summed
from kai_py.core.resources import CPU, MEMORY
from kai_py.core.tables.zones import Alignment, Need

_CORE: Final = 1000
_HUGE_PAGES: Final = "hugepages-"
#: What no exporter reports by zone.
_NEVER: Final = frozenset({"ephemeral-storage"})


def alignment_of(pod: Pod) -> Alignment | None:
    """What is aligned of a pod; None if nothing is.

    Raises:
        MalformedObjectError: a quantity cannot be read; names the field.
    """
    inits, plain = pod.spec.init_containers, pod.spec.containers
    asked = [asked_by(pod, one, f"spec.initContainers[{row}]") for row, one in enumerate(inits)]
    asked += [asked_by(pod, one, f"spec.containers[{row}]") for row, one in enumerate(plain)]
    guaranteed = _is_guaranteed(pod, asked)
    aligned = [_aligned(units, guaranteed=guaranteed) for units in asked]
    if not any(aligned):
        return None
    sidecars, apart, peak = list[Units](), list[Units](), Units()
    for container, units in zip(inits, aligned, strict=False):
        if container.restart_policy == "Always":
            sidecars.append(units)
            peak = larger(peak, summed(sidecars))
        else:
            apart.append(units)
            peak = larger(peak, summed([*sidecars, units]))
    together = [*sidecars, *aligned[len(inits) :]]
    whole = larger(summed(together), peak) if inits else summed(together)
    return Alignment(_need(whole), _needs(together), _needs(apart))


def _is_guaranteed(pod: Pod, asked: Sequence[Units]) -> bool:
    """Whether the pod's class of service is Guaranteed: every container is limited to what it asks for.

    Of pods with requests for the whole, only devices are aligned, so they do not count.
    """
    if pod.spec.resources.requests or pod.spec.resources.limits:
        return False
    containers = (*pod.spec.init_containers, *pod.spec.containers)
    return all(map(_is_limited, containers, asked))


def _is_limited(container: Container, asked: Units) -> bool:
    limits = container.resources.limits
    return all(
        name in limits and asked[name] > 0 and to_units(limits[name], per_unit=per_unit(name)) == asked[name]
        for name in (CPU, MEMORY)
    )


def _aligned(asked: Units, *, guaranteed: bool) -> Units:
    """What is aligned of a container, of what it asks for."""
    if guaranteed:
        whole = asked[CPU] % _CORE == 0
        return {name: units for name, units in asked.items() if units and name not in _NEVER and (name != CPU or whole)}
    kept = (CPU, MEMORY, *_NEVER)
    return {
        name: units for name, units in asked.items() if units and name not in kept and not name.startswith(_HUGE_PAGES)
    }


def _needs(units: Iterable[Units]) -> tuple[Need, ...]:
    return tuple(_need(one) for one in units if one)


def _need(units: Units) -> Need:
    return tuple(sorted(units.items()))
