"""What a pod takes from a node, by resource name (Kubernetes' ``PodRequests``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kai_py.api.meta import Quantity
from kai_py.api.pod import Container, ContainerStatus, Pod, ResourceRequirements
from kai_py.api.quantity import to_units
from kai_py.cluster.encode.axis import per_unit
from kai_py.core.resources import PODS
from kai_py.errors import Fault, MalformedObjectError

Units = dict[str, int]

#: Resources that may be requested for the pod as a whole.
_POD_LEVEL = ("cpu", "memory")
_POD_LEVEL_PREFIX = "hugepages-"


def pod_request(pod: Pod) -> Units:
    """Base units per resource that the pod needs, or holds if it runs; its pod slot included.

    The larger of all containers with sidecars, and the peak while init containers run one after the other; replaced by
    pod-level requests where there are any; plus overhead. While a running pod is being resized, it counts with the
    larger of what it asks for and what it has.

    Raises:
        MalformedObjectError: a quantity cannot be read or is negative; names the field.
    """
    running = bool(pod.spec.node_name)
    statuses = {status.name: status for status in (*pod.status.container_statuses, *pod.status.init_container_statuses)}
    infeasible = running and _resize_infeasible(pod)

    def of(containers: tuple[Container, ...], row: int, field: str) -> Units:
        container = containers[row]
        asked = _units(pod, container.resources, f"spec.{field}[{row}].resources")
        if not running or (status := statuses.get(container.name)) is None:
            return asked
        given = _given(pod, status)
        return given if infeasible and given else _larger(asked, given)

    regular = [of(pod.spec.containers, row, "containers") for row in range(len(pod.spec.containers))]
    total, sidecars, peak = _sum(regular), Units(), Units()
    for row, container in enumerate(pod.spec.init_containers):
        asked = of(pod.spec.init_containers, row, "initContainers")
        if container.restart_policy == "Always":
            sidecars = _sum((sidecars, asked))
            peak = _larger(peak, sidecars)
        else:
            peak = _larger(peak, _sum((sidecars, asked)))
    total = _larger(_sum((total, sidecars)), peak)
    total |= _pod_level(pod, running=running)
    total = _sum((total, _quantities(pod, pod.spec.overhead, "spec.overhead")))
    total[PODS] = 1
    return {name: units for name, units in total.items() if units}


def _pod_level(pod: Pod, *, running: bool) -> Units:
    asked = _units(pod, pod.spec.resources, "spec.resources")
    if running:
        given = _units(pod, pod.status.resources, "status.resources")
        asked = _larger(asked, _larger(given, _quantities(pod, pod.status.allocated_resources, "status")))
    return {name: units for name, units in asked.items() if name in _POD_LEVEL or name.startswith(_POD_LEVEL_PREFIX)}


def _given(pod: Pod, status: ContainerStatus) -> Units:
    where = f"status.containerStatuses[{status.name}]"
    return _larger(
        _quantities(pod, status.resources.requests, f"{where}.resources.requests"),
        _quantities(pod, status.allocated_resources, f"{where}.allocatedResources"),
    )


def _resize_infeasible(pod: Pod) -> bool:
    return any(c.type == "PodResizePending" and c.reason == "Infeasible" for c in pod.status.conditions)


def _units(pod: Pod, resources: ResourceRequirements, field: str) -> Units:
    """Requests, and limits where no request is given, as the API server defaults them."""
    requests = _quantities(pod, resources.requests, f"{field}.requests")
    if not resources.limits:
        return requests
    return _quantities(pod, resources.limits, f"{field}.limits") | requests


def _quantities(pod: Pod, quantities: Mapping[str, Quantity], field: str) -> Units:
    units = Units()
    for name, quantity in quantities.items():
        try:
            units[name] = to_units(quantity, per_unit=per_unit(name))
        except ValueError as error:
            raise _malformed(pod, f"{field}.{name}", str(error)) from error
        if units[name] < 0:
            raise _malformed(pod, f"{field}.{name}", f"should not be negative, not {quantity!r}")
    return units


def _malformed(pod: Pod, field: str, message: str) -> MalformedObjectError:
    return MalformedObjectError([Fault(f"Pod {pod.metadata.namespace}/{pod.metadata.name}", field, message)])


def _sum(parts: Iterable[Units]) -> Units:
    total = Units()
    for part in parts:
        for name, units in part.items():
            total[name] = total.get(name, 0) + units
    return total


def _larger(one: Units, other: Units) -> Units:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}
