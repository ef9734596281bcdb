"""Extended resources that are backed by a DeviceClass (KEP-5004): a pod's ``example.com/gpu: 2`` as a claim."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kai_py.api.meta import Quantity
from kai_py.api.pod import Container, Pod
from kai_py.api.quantity import to_units
from kai_py.api.resource import DeviceClaim, DeviceClass, DeviceRequest, ExactRequest
from kai_py.errors import Fault, MalformedObjectError

#: Every class can be requested by this prefix and its name.
IMPLICIT: Final = "deviceclass.resource.kubernetes.io/"
_ALWAYS: Final = "Always"


class ExtendedResources:
    """Which class backs which resource."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[str, str]] = {}
        self._best: dict[str, str] = {}

    def put(self, found: DeviceClass) -> None:
        """Take in a class, new or changed."""
        self._names[found.metadata.name] = (
            found.spec.extended_resource_name or "",
            found.metadata.creation_timestamp or "",
        )
        self._choose()

    def drop(self, name: str) -> None:
        """Forget a class."""
        self._names.pop(name, None)
        self._choose()

    def get(self, resource: str) -> str | None:
        """Name of the class that backs a resource; None if none does."""
        if resource.startswith(IMPLICIT):
            name = resource.removeprefix(IMPLICIT)
            return name if name in self._names else None
        return self._best.get(resource)

    def _choose(self) -> None:
        """Of several classes for one resource the newest counts, and of equally old ones the first by name."""
        self._best = {}
        newest: dict[str, str] = {}
        for name, (resource, created) in sorted(self._names.items()):
            if resource and (resource not in newest or created > newest[resource]):
                self._best[resource], newest[resource] = name, created


@dataclass(frozen=True, slots=True)
class RequestMapping:
    """Which request of the claim serves a container's resource."""

    container: str
    resource: str
    request: str


@dataclass(frozen=True, slots=True)
class ExtendedClaim:
    """A claim that has yet to be created, and what goes into ``status.extendedResourceClaimStatus`` of the pod."""

    spec: DeviceClaim
    mappings: tuple[RequestMapping, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that a container makes: so many devices under this name."""

    name: str
    count: int


def extended_claim(pod: Pod, classes: Mapping[str, str]) -> ExtendedClaim | None:
    """The claim that a node has to serve for a pod; None if it has none to serve.

    Requests are named by the position of their container (init containers come first) and of the resource among the
    container's resources, sorted by name. An init container that ends before the others start uses the devices of
    those that come after it; of what such containers lack beyond that, only the most that any lacks is requested.

    Args:
        pod: the pod.
        classes: resource -> class, of those resources that the node does not offer by a device plugin.

    Raises:
        MalformedObjectError: an amount is not a whole number of devices.
    """
    requests: list[_Asked] = []
    classes_of: dict[str, str] = {}
    mappings: list[RequestMapping] = []
    for resource in sorted(classes):
        for asked in _requests(pod, resource, mappings):
            requests.append(asked)
            classes_of[asked.name] = classes[resource]
    if not requests:
        return None
    devices = tuple(
        DeviceRequest(one.name, ExactRequest(device_class_name=classes_of[one.name], count=one.count))
        for one in sorted(requests, key=lambda one: one.name)
    )
    return ExtendedClaim(DeviceClaim(devices), tuple(mappings))


def _requests(pod: Pod, resource: str, mappings: list[RequestMapping]) -> Iterator[_Asked]:
    """The requests for one resource; ``mappings`` grows by those that use them."""
    containers = (*pod.spec.init_containers, *pod.spec.containers)
    initial = len(pod.spec.init_containers)
    brief = [i for i in range(initial) if containers[i].restart_policy != _ALWAYS]
    lasting: dict[int, _Asked] = {}
    for i, container in enumerate(containers):
        if i not in brief and (count := _count(pod, container, resource)):
            lasting[i] = _Asked(_name(i, container, resource), count)
            mappings.append(RequestMapping(container.name, resource, lasting[i].name))
    extra: _Asked | None = None
    short: list[Container] = []
    for i in brief:
        count = _count(pod, containers[i], resource)
        for other in _reused([one for j, one in lasting.items() if j > i], count):
            mappings.append(RequestMapping(containers[i].name, resource, other.name))
            count -= other.count
        if count > 0:
            short.append(containers[i])
            if extra is None or count > extra.count:
                extra = _Asked(_name(i, containers[i], resource), count)
    if extra is not None:
        mappings.extend(RequestMapping(container.name, resource, extra.name) for container in short)
        yield extra
    yield from lasting.values()


def _reused(others: Sequence[_Asked], count: int) -> Iterator[_Asked]:
    """Requests of later containers, until they suffice."""
    for other in others:
        if count <= 0:
            return
        yield other
        count -= other.count


def requests_of(container: Container) -> dict[str, Quantity]:
    """What a container requests; a limit counts where there is no request, as the API server defaults them."""
    return {**container.resources.limits, **container.resources.requests}


def _name(index: int, container: Container, resource: str) -> str:
    return f"container-{index}-request-{sorted(requests_of(container)).index(resource)}"


def _count(pod: Pod, container: Container, resource: str) -> int:
    quantity = requests_of(container).get(resource)
    if quantity is None:
        return 0
    try:
        exact = to_units(quantity, per_unit=1000)
    except ValueError as error:
        raise _fault(pod, container, resource, str(error)) from error
    if exact % 1000 or exact < 0:
        raise _fault(pod, container, resource, f"{quantity!r} is not a whole number of devices")
    return exact // 1000


def _fault(pod: Pod, container: Container, resource: str, message: str) -> MalformedObjectError:
    where = f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
    return MalformedObjectError(
        [Fault(where, f"spec.containers[{container.name}].resources.requests.{resource}", message)]
    )
