"""What a kubelet aligns of a pod on NUMA nodes.

CPUs are exclusive, and so aligned, for containers of Guaranteed pods that ask for whole ones; memory and huge pages are
for Guaranteed pods; devices for all. Requests for the pod as a whole give nobody exclusive CPUs or memory.
Source: https://kubernetes.io/docs/tasks/administer-cluster/topology-manager/ and the pages of the CPU, memory and
device managers that it links.
"""

from __future__ import annotations

from typing import Final

from kai_py.api.pod import Container, Pod
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
    guaranteed = is_guaranteed(pod)
    containers = [
        _aligned(pod, container, f"spec.containers[{row}]", guaranteed=guaranteed)
        for row, container in enumerate(pod.spec.containers)
    ]
    sidecars, apart, peak = list[Units](), list[Units](), Units()
    for row, container in enumerate(pod.spec.init_containers):
        units = _aligned(pod, container, f"spec.initContainers[{row}]", guaranteed=guaranteed)
        if container.restart_policy == "Always":
            sidecars.append(units)
            peak = larger(peak, summed(sidecars))
        else:
            apart.append(units)
            peak = larger(peak, summed([*sidecars, units]))
    whole = _need(larger(summed([*containers, *sidecars]), peak))
    if not whole:
        return None
    together = tuple(need for units in (*sidecars, *containers) if (need := _need(units)))
    return Alignment(whole, together, tuple(need for units in apart if (need := _need(units))))


def is_guaranteed(pod: Pod) -> bool:
    """Whether the pod's class of service is Guaranteed: every container is limited to what it asks for.

    Of pods with requests for the whole, only devices are aligned, so they do not count.
    """
    if pod.spec.resources.requests or pod.spec.resources.limits:
        return False
    named = [(f"spec.containers[{row}]", one) for row, one in enumerate(pod.spec.containers)]
    named += [(f"spec.initContainers[{row}]", one) for row, one in enumerate(pod.spec.init_containers)]
    return all(_is_limited(pod, container, field) for field, container in named)


def _is_limited(pod: Pod, container: Container, field: str) -> bool:
    if not container.resources.limits.keys() >= {CPU, MEMORY}:
        return False
    asked = asked_by(pod, container, field)
    most = asked_by(pod, _only_limits(container), field)
    return all(asked[name] == most[name] > 0 for name in (CPU, MEMORY))


def _only_limits(container: Container) -> Container:
    return Container(container.name, resources=type(container.resources)(limits=container.resources.limits))


def _aligned(pod: Pod, container: Container, field: str, *, guaranteed: bool) -> Units:
    """What is aligned of one container."""
    asked = asked_by(pod, container, field)
    if guaranteed:
        whole = asked.get(CPU, 0) % _CORE == 0
        return {name: units for name, units in asked.items() if name not in _NEVER and (name != CPU or whole)}
    kept = (CPU, MEMORY, *_NEVER)
    return {name: units for name, units in asked.items() if name not in kept and not name.startswith(_HUGE_PAGES)}


def _need(units: Units) -> Need:
    return tuple(sorted((name, amount) for name, amount in units.items() if amount > 0))
