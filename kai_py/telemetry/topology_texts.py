"""Part of the table of texts: constraints on topologies, and why they cannot be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kai_py.api.keys import REQUIRED_LEVEL_ANNOTATION, TOPOLOGY_ANNOTATION
from kai_py.core.result import ReasonCode
from kai_py.telemetry.case import Case
from kai_py.telemetry.text import Text, about


def _level(case: Case) -> str:
    level = case.name("level") or "domain"
    return f"{level} of {case.named('topology', 'topology')}"


def _best(case: Case) -> str:
    """The domain that comes nearest, and how far it is from enough."""
    pods = case.number("pods")
    if not pods:
        return ""
    if not case.name("domain"):
        return f"none takes any of {pods} pods"
    return f"the best is {case.name('domain')}, which takes {case.number('fits')} of {pods} pods"


def _nearest(case: Case) -> str:
    missing = case.number("pods") - case.number("fits")
    if not case.name("domain") or missing <= 0:
        return ""
    room = "1 more pod" if missing == 1 else f"{missing} more pods"
    return f"Wait until there is room for {room} in {case.name('domain')}, ask for a wider level, or for fewer pods"


_USED: Final = frozenset({"topology", "level", "domain", "subGroup"})

TOPOLOGY_TEXTS: Final[Mapping[str, Text]] = {
    ReasonCode.TOPOLOGY_MISSING: Text(
        about("topology", "topology", "does not exist"),
        "The podgroup must be kept together as a Topology says that is not there.",
        f"Create the Topology, or name one that exists (annotation {TOPOLOGY_ANNOTATION} of the workload, or "
        "topologyConstraint.topology of the PodGroup).",
        used=frozenset({"topology", "object", "message"}),
    ),
    ReasonCode.TOPOLOGY_INVALID: Text(
        lambda case: f"a topology constraint cannot be kept because of {case.name('object') or 'its Topology'}",
        "The constraint names a level that its Topology does not have or that no node is in, contradicts itself, or "
        "its Topology cannot be read. The message names the field.",
        "Correct the field that the message names.",
        used=frozenset({"object"}),
    ),
    ReasonCode.DOMAINS_TOO_SMALL: Text(
        lambda case: f"no {_level(case)} takes all pods that must be together",
        "All pods of the podgroup must be in one domain of the required level, and no domain has room for all of them, "
        "what leaving pods will give back included.",
        f"Ask for a wider level (annotation {REQUIRED_LEVEL_ANNOTATION}), for fewer pods, or wait.",
        evidence=_best,
        next_step=_nearest,
        used=_USED,
    ),
    ReasonCode.SUBGROUP_TOO_LARGE: Text(
        lambda case: f"no {_level(case)} takes {case.named('subgroup', 'subGroup')} and others like it",
        "There is room for all pods together, but a subgroup, or all that are like it, does not fit where its own "
        "required level and those around it allow.",
        "Ask for a wider level for the subgroup or for the podgroup, for fewer pods, or wait.",
        evidence=_best,
        next_step=_nearest,
        used=_USED,
    ),
    ReasonCode.SUBGROUPS_COLLIDE: Text(
        lambda case: f"no {_level(case)} takes all subgroups at once",
        "Each kind of subgroup would find places if it had the domain for itself, but they take each other's.",
        "Ask for a wider level for the podgroup or for some subgroups, for fewer pods, or wait.",
        evidence=lambda case: case.naming("domain", "the roomiest is {}"),
        used=_USED,
    ),
    ReasonCode.MEMBERS_APART: Text(
        lambda case: f"its running pods are not in one {_level(case)}",
        "All pods must be in one domain of the required level, but those that run already are in several, or on nodes "
        "without its labels. New pods wait: no place would be right.",
        "Label the nodes as they are, or end the running pods, so that the podgroup starts anew in one domain.",
        used=_USED,
    ),
}
