"""What a pod takes from a node, by resource name (Kubernetes' ``PodRequests``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kai_py.api.meta import Quantity
from kai_py.api.pod import Container, ContainerStatus, Pod
from kai_py.api.quantity import to_units
from kai_py.cluster.encode.axis import most, per_unit
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
    larger of what it asks for and what it has; if the resize cannot be done, with what it has.

    Raises:
        MalformedObjectError: a quantity cannot be read, is negative, or is more than any node has; names the field.
    """
    total = _of_containers(pod)
    if pod.spec.resources.requests or pod.spec.resources.limits:
        total |= _pod_level(pod, total)
    if pod.spec.overhead:
        total = summed((total, _quantities(pod, pod.spec.overhead, "spec.overhead")))
    total[PODS] = 1
    return _bounded(pod, total)


def left_by_containers(pod: Pod) -> Units:
    """What the containers of a pod leave of what it asks for as a whole, base units; nothing where it asks for nothing.

    Raises:
        MalformedObjectError: see :func:`pod_request`.
    """
    if not (pod.spec.resources.requests or pod.spec.resources.limits):
        return {}
    containers = _of_containers(pod)
    return {name: units - containers.get(name, 0) for name, units in _pod_level(pod, containers).items()}


def _of_containers(pod: Pod) -> Units:
    """What all containers need together."""
    statuses: dict[str, ContainerStatus] = {}
    if pod.spec.node_name:
        statuses = {one.name: one for one in (*pod.status.init_container_statuses, *pod.status.container_statuses)}
    infeasible = bool(statuses) and _resize_infeasible(pod)
    total = summed(
        _running(pod, container, f"spec.containers[{row}]", statuses, infeasible)
        for row, container in enumerate(pod.spec.containers)
    )
    return _with_init_containers(pod, total, statuses, infeasible) if pod.spec.init_containers else total


def _with_init_containers(pod: Pod, total: Units, statuses: Mapping[str, ContainerStatus], infeasible: bool) -> Units:
    """A sidecar goes on running beside whatever is started after it; other init containers run one at a time."""
    sidecars, peak = Units(), Units()
    for row, container in enumerate(pod.spec.init_containers):
        field = f"spec.initContainers[{row}]"
        if container.restart_policy == "Always":
            sidecars = summed((sidecars, _running(pod, container, field, statuses, infeasible)))
            peak = larger(peak, sidecars)
        else:
            peak = larger(peak, summed((sidecars, asked_by(pod, container, field))))
    return larger(summed((total, sidecars)), peak)


def _running(
    pod: Pod, container: Container, field: str, statuses: Mapping[str, ContainerStatus], infeasible: bool
) -> Units:
    """What a container asks for, or has already."""
    asked = asked_by(pod, container, field)
    if (status := statuses.get(container.name)) is None:
        return asked
    where = f"status.containerStatuses[{container.name}]"
    given = larger(
        _quantities(pod, status.resources.requests, f"{where}.resources.requests"),
        _quantities(pod, status.allocated_resources, f"{where}.allocatedResources"),
    )
    return given if infeasible and given else larger(asked, given)


def asked_by(pod: Pod, container: Container, field: str) -> Units:
    """Requests, and limits where no request is given, as the API server defaults them."""
    requests = _quantities(pod, container.resources.requests, f"{field}.resources.requests")
    if not container.resources.limits:
        return requests
    return _quantities(pod, container.resources.limits, f"{field}.resources.limits") | requests


def _pod_level(pod: Pod, containers: Units) -> Units:
    """What is requested for the pod as a whole; a limit counts as a request where no container has one."""
    asked = _quantities(pod, pod.spec.resources.requests, "spec.resources.requests")
    limits = _quantities(pod, pod.spec.resources.limits, "spec.resources.limits")
    asked = {name: units for name, units in limits.items() if name not in containers} | asked
    if pod.spec.node_name:
        given = larger(
            _quantities(pod, pod.status.resources.requests, "status.resources.requests"),
            _quantities(pod, pod.status.allocated_resources, "status.allocatedResources"),
        )
        given = {name: units for name, units in given.items() if name in asked}
        asked = asked | given if _resize_infeasible(pod) else larger(asked, given)
    return {name: units for name, units in asked.items() if name in _POD_LEVEL or name.startswith(_POD_LEVEL_PREFIX)}


def _resize_infeasible(pod: Pod) -> bool:
    return any(c.type == "PodResizePending" and c.reason == "Infeasible" for c in pod.status.conditions)


def _bounded(pod: Pod, total: Units) -> Units:
    """Without zeros. A pod that waits must not ask for absurd amounts; one that runs overcommits its node anyway."""
    bounded = Units()
    for name, units in total.items():
        if units > most(name):
            if not pod.spec.node_name:
                limit = most(name) // per_unit(name)
                raise _malformed(pod, f"spec.containers.resources.requests.{name}", f"should not exceed {limit}")
            bounded[name] = most(name)
        elif units:
            bounded[name] = units
    return bounded


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


def summed(parts: Iterable[Units]) -> Units:
    """All parts together."""
    total = Units()
    for part in parts:
        for name, units in part.items():
            total[name] = total.get(name, 0) + units
    return total


def larger(one: Units, other: Units) -> Units:
    """The larger of both, per resource."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}
