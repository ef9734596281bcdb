"""What a pod asks of a node, by names: the key under which pods share a class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import msgspec

from kai_py.api.keys import NVIDIA_GPU
from kai_py.api.pod import Pod
from kai_py.api.selectors import NodeSelectorTerm
from kai_py.api.selectors import Requirement as ApiRequirement
from kai_py.cluster.encode.alignment import alignment_of
from kai_py.cluster.encode.default_spread import DefaultSpread
from kai_py.cluster.encode.neighbours import NOTHING, Asks, AsksReader
from kai_py.cluster.encode.requests import pod_request
from kai_py.cluster.encode.shares import share_of
from kai_py.core.resources import ResourceAxis
from kai_py.core.tables.classes import NodeTerm, PodClass, PreferredTerm, Requirement, Toleration
from kai_py.core.tables.devices import Share
from kai_py.errors import Fault, MalformedObjectError


@dataclass(frozen=True)
class Demand:
    """A pod class whose requests are not yet on an axis.

    Attributes:
        request: (resource, base units), sorted by name.
        constraints: everything else, with an empty request.
        asks: what it asks of other pods.
    """

    request: tuple[tuple[str, int], ...]
    constraints: PodClass
    asks: Asks = NOTHING

    def on_axis(self, axis: ResourceAxis) -> PodClass:
        """The class on an axis that has all its resources."""
        amounts = [0] * len(axis)
        for name, units in self.request:
            amounts[axis.index[name]] = units
        return replace(self.constraints, request=tuple(amounts))

    def without(self, resource: str) -> Demand:
        """The same without a resource."""
        return Demand(tuple(one for one in self.request if one[0] != resource), self.constraints, self.asks)


#: Of a pod that stays where it is only what it takes matters: daemon pods name one node each.
_UNCONSTRAINED: Final = PodClass(())
#: So many pod specs are remembered.
_REMEMBERED: Final = 4096
#: What a rule says about the exit of a container so that all of them are started again.
_RESTART_ALL: Final = "RestartAllContainers"
_WEIGHTS: Final = range(1, 101)
_INT64: Final = range(-(2**63), 2**63)


class DemandReader:
    """Reads what pods ask for, and remembers it: most pods ask for just the same as others before them.

    Reading a spec takes ten to twenty times as long as finding it again.

    Attributes:
        spreading: of pods that do not say how they want to be spread.
    """

    def __init__(self) -> None:
        self._heeds_images = False
        self._known: dict[bytes, Demand] = {}
        self._asks = AsksReader()
        self.spreading = DefaultSpread()
        self._encoder = msgspec.msgpack.Encoder(enc_hook=dict)  # absent maps are proxies, which it does not know

    def heed_images(self, *, wanted: bool) -> bool:
        """Whether pods with different images are told apart from now on, which they are not at first; tells changes."""
        changed = wanted != self._heeds_images
        self._heeds_images = wanted
        self._known.clear()
        return changed

    def read(self, pod: Pod, *, stays: bool, excluded: frozenset[str] = frozenset()) -> Demand:
        """What a pod asks for, apart from nodes that are excluded for it; see :func:`demand_of`."""
        spec, status = pod.spec, pod.status
        text = self._encoder.encode(
            (
                spec.containers,
                spec.init_containers,
                spec.overhead,
                spec.resources,
                spec.host_network and spec.host_users is False,
                None if stays else (spec.node_selector, spec.affinity, spec.tolerations),
                (
                    status.container_statuses,
                    status.init_container_statuses,
                    status.resources,
                    status.allocated_resources,
                    [condition.reason for condition in status.conditions if condition.type == "PodResizePending"],
                )
                if spec.node_name
                else None,
            )
        )
        demand = self._known.get(text)
        if demand is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            demand = demand_of(pod, stays=stays)
            if self._heeds_images and not stays:
                demand = Demand(demand.request, replace(demand.constraints, images=images_of(pod)))
            self._known[text] = demand
        if pod.metadata.annotations and (share := _share(pod, demand)) is not None:
            demand = replace(demand, constraints=replace(demand.constraints, share=share))
        asks = self._asks.read(pod, foreign=stays)
        if not (stays or spec.node_name or asks.spreads) and (spreads := self.spreading.of(pod, demand.request)):
            asks = asks._replace(spreads=spreads)
        if asks is not NOTHING:
            demand = replace(demand, asks=asks)
        if excluded:
            return replace(demand, constraints=replace(demand.constraints, excluded=excluded))
        return demand


def demand_of(pod: Pod, *, stays: bool = False) -> Demand:
    """Read what a pod asks for.

    Args:
        pod: any pod.
        stays: it has its node and nobody may move it, so only its request matters.

    Raises:
        MalformedObjectError: names the field.
    """
    request = tuple(sorted(pod_request(pod).items()))
    alignment = alignment_of(pod)
    if stays:
        return Demand(request, replace(_UNCONSTRAINED, alignment=alignment) if alignment else _UNCONSTRAINED)
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    required: tuple[NodeTerm, ...] | None = None
    preferred: tuple[PreferredTerm, ...] = ()
    if affinity is not None:
        if affinity.required is not None:
            terms = (_term(term) for term in affinity.required.node_selector_terms)
            required = tuple(term for term in terms if term is not None)
        wishes = ((wish.weight, _term(wish.preference)) for wish in affinity.preferred if wish.weight in _WEIGHTS)
        preferred = tuple(PreferredTerm(weight, term) for weight, term in wishes if term is not None)
    constraints = PodClass(
        request=(),
        selector=tuple(sorted(pod.spec.node_selector.items())),
        required=required,
        preferred=preferred,
        tolerations=tuple(Toleration(t.key, t.operator or "Equal", t.value, t.effect) for t in pod.spec.tolerations),
        alignment=alignment,
        features=features_of(pod),
    )
    return Demand(request, constraints)


def images_of(pod: Pod) -> tuple[str, ...]:
    """The images of all containers, as nodes call them: an image without a tag is the latest."""
    images = [one.image for one in (*pod.spec.init_containers, *pod.spec.containers) if one.image]
    return tuple(sorted(name if name.rfind(":") > name.rfind("/") else f"{name}:latest" for name in images))


def features_of(pod: Pod) -> tuple[str, ...]:
    """What a node has to declare for a pod: in Kubernetes 1.36 two features decide about nodes."""
    containers = (*pod.spec.containers, *pod.spec.init_containers)
    restarts = any(rule.action == _RESTART_ALL for one in containers for rule in one.restart_policy_rules)
    own_users = pod.spec.host_network and pod.spec.host_users is False
    wanted = ((restarts, "RestartAllContainersOnContainerExits"), (own_users, "UserNamespacesHostNetworkSupport"))
    return tuple(feature for needed, feature in wanted if needed)


def _share(pod: Pod, demand: Demand) -> Share | None:
    """The part of GPUs that a pod asks for beside its request. One that runs already keeps what it has."""
    try:
        share = share_of(pod)
    except MalformedObjectError:
        if pod.spec.node_name:
            return None
        raise
    if share is not None and any(name == NVIDIA_GPU for name, _ in demand.request):
        if pod.spec.node_name:
            return None
        where = f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
        fault = Fault(where, f"spec.containers.resources.requests.{NVIDIA_GPU}", "cannot be combined with a share")
        raise MalformedObjectError([fault])
    return share


def _term(term: NodeSelectorTerm) -> NodeTerm | None:
    """A term, or None where it does not parse: kube-scheduler skips such terms, so they match nothing."""
    if not all(map(_parses, term.match_expressions)) or not all(map(_parses_field, term.match_fields)):
        return None
    return NodeTerm(
        tuple(Requirement(r.key, r.operator, tuple(r.values)) for r in term.match_expressions),
        tuple(Requirement(r.key, r.operator, tuple(r.values)) for r in term.match_fields),
    )


def _parses(requirement: ApiRequirement) -> bool:
    match requirement.operator:
        case "In" | "NotIn":
            return bool(requirement.values)
        case "Exists" | "DoesNotExist":
            return not requirement.values
        case "Gt" | "Lt":
            return len(requirement.values) == 1 and _is_integer(requirement.values[0])
        case _:
            return False


def _parses_field(requirement: ApiRequirement) -> bool:
    known = requirement.key == "metadata.name" and requirement.operator in ("In", "NotIn")
    return known and len(requirement.values) == 1


def _is_integer(text: str) -> bool:
    """Whether it reads as an int64, as Go's ParseInt has it."""
    digits = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    return digits.isascii() and digits.isdecimal() and len(digits) < 20 and int(text) in _INT64
