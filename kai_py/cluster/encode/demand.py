"""What a pod asks of a node, by names: the key under which pods share a class."""

from __future__ import annotations

from dataclasses import dataclass

from kai_py.api.pod import Pod
from kai_py.api.selectors import NodeSelectorTerm
from kai_py.api.selectors import Requirement as ApiRequirement
from kai_py.cluster.encode.requests import pod_request
from kai_py.core.resources import ResourceAxis
from kai_py.core.tables.classes import NodeTerm, PodClass, PreferredTerm, Requirement, Toleration


@dataclass(frozen=True)
class Demand:
    """A pod class whose requests are not yet on an axis.

    Attributes:
        request: (resource, base units), sorted by name.
        constraints: everything else, with an empty request.
    """

    request: tuple[tuple[str, int], ...]
    constraints: PodClass

    def on_axis(self, axis: ResourceAxis) -> PodClass:
        """The class on an axis that has all its resources."""
        amounts = [0] * len(axis)
        for name, units in self.request:
            amounts[axis.index[name]] = units
        c = self.constraints
        return PodClass(tuple(amounts), c.node_name, c.selector, c.required, c.preferred, c.tolerations, c.excluded)


#: Most pods have no constraint of their own but the tolerations that admission adds; the rest is rare.
_UNCONSTRAINED = PodClass(())


def demand_of(pod: Pod, *, excluded: frozenset[str] = frozenset()) -> Demand:
    """Read what a pod asks for.

    Args:
        pod: any pod; of one that has its node only the request matters.
        excluded: nodes that it must not be tried on again for now.

    Raises:
        MalformedObjectError: names the field.
    """
    request = tuple(sorted(pod_request(pod).items()))
    if pod.spec.node_name:
        return Demand(request, _UNCONSTRAINED)
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    required: tuple[NodeTerm, ...] | None = None
    preferred: tuple[PreferredTerm, ...] = ()
    if affinity is not None:
        if affinity.required is not None:
            terms = (_term(term) for term in affinity.required.node_selector_terms)
            required = tuple(term for term in terms if term is not None)
        wishes = ((wish.weight, _term(wish.preference)) for wish in affinity.preferred)
        preferred = tuple(PreferredTerm(weight, term) for weight, term in wishes if term is not None and weight)
    constraints = PodClass(
        request=(),
        selector=tuple(sorted(pod.spec.node_selector.items())),
        required=required,
        preferred=preferred,
        tolerations=tuple(Toleration(t.key, t.operator or "Equal", t.value, t.effect) for t in pod.spec.tolerations),
        excluded=excluded,
    )
    return Demand(request, constraints)


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
    return text.isascii() and text.removeprefix("-").removeprefix("+").isdecimal()
