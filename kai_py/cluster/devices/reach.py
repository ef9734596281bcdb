"""Node selectors of slices and devices."""

from __future__ import annotations

from kai_py.api.selectors import NodeSelector
from kai_py.api.selectors import Requirement as ApiRequirement
from kai_py.core.dra.devices import EVERYWHERE, Reach
from kai_py.core.tables.classes import NodeTerm, Requirement
from kai_py.core.tables.integers import parse_int64
from kai_py.errors import Fault, MalformedObjectError


def reach_of(
    node_name: str | None, node_selector: NodeSelector | None, *, all_nodes: bool | None, where: str, field: str
) -> Reach | None:
    """From where something can be used; None = that is not said here.

    Raises:
        MalformedObjectError: the selector does not have exactly one term that can be read. Unlike for pods, it is not
            skipped: devices would appear where they are not.
    """
    if node_name:
        return Reach(node=node_name)
    if all_nodes:
        return EVERYWHERE
    if node_selector is None:
        return None
    terms = node_selector.node_selector_terms
    here = f"{field}nodeSelector.nodeSelectorTerms"
    if len(terms) != 1:
        raise MalformedObjectError([Fault(where, here, f"there must be one term, not {len(terms)}")])
    labels = [
        _requirement(one, where, f"{here}[0].matchExpressions[{i}]") for i, one in enumerate(terms[0].match_expressions)
    ]
    names = [_name(one, where, f"{here}[0].matchFields[{i}]") for i, one in enumerate(terms[0].match_fields)]
    return Reach(term=NodeTerm(tuple(labels), tuple(names)))


def terms_of(selector: NodeSelector) -> tuple[NodeTerm, ...]:
    """The terms of an allocation, ORed; those that cannot be read match nothing, as for pods."""
    found = []
    for term in selector.node_selector_terms:
        try:
            labels = [_requirement(one, "", "") for one in term.match_expressions]
            found.append(NodeTerm(tuple(labels), tuple(_name(one, "", "") for one in term.match_fields)))
        except MalformedObjectError:
            continue
    return tuple(found)


def _requirement(one: ApiRequirement, where: str, field: str) -> Requirement:
    match one.operator:
        case "In" | "NotIn":
            good = bool(one.values)
        case "Exists" | "DoesNotExist":
            good = not one.values
        case "Gt" | "Lt":
            good = len(one.values) == 1 and parse_int64(one.values[0]) is not None
        case _:
            raise MalformedObjectError([Fault(where, f"{field}.operator", f"{one.operator!r} is not an operator")])
    if not good:
        raise MalformedObjectError(
            [Fault(where, f"{field}.values", f"{one.operator} cannot be used with these values")]
        )
    return Requirement(one.key, one.operator, tuple(one.values))


def _name(one: ApiRequirement, where: str, field: str) -> Requirement:
    if one.key != "metadata.name" or one.operator not in ("In", "NotIn") or len(one.values) != 1:
        message = "only metadata.name can be selected by, with In or NotIn and one value"
        raise MalformedObjectError([Fault(where, field, message)])
    return Requirement(one.key, one.operator, tuple(one.values))
