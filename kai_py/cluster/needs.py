"""Which claims a pod uses, and which of them were made for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from kai_py.api.pod import Pod
from kai_py.cluster.claim_objects import Name
from kai_py.cluster.devices.amounts import amounts
from kai_py.cluster.encode.requests import left_by_containers
from kai_py.core.dra.node_shares import OfNode
from kai_py.errors import MalformedObjectError

#: The condition of pods that are about to be evicted.
DISRUPTION_TARGET: Final = "DisruptionTarget"


@dataclass(frozen=True)
class Needs:
    """The claims of a pod.

    Attributes:
        claims: namespace and name, in the pod's order, each once.
        owned: those of them that are made from templates.
        missing: a claim or template that is not known by name yet.
        extended: the claim that serves its extended resources; the last one of ``claims``.
        users: its containers by the claim that they use, where they use one.
        within: resource -> base units of what the pod as a whole asks for and its containers do not.
        of_node: what its status says that devices take of its node: (claim, ((resource, billionths), …)).
        pod_group: its PodGroup of ``scheduling.k8s.io``, namespace and name; None for none.
        entries: with one, what ``spec.resourceClaims`` says: (name, claim, template), and the claim as far as it is
            known by name.
        evicted: it was told to go.
    """

    claims: tuple[Name, ...] = ()
    owned: frozenset[Name] = frozenset()
    missing: str = ""
    extended: Name | None = None
    users: tuple[tuple[Name, tuple[str, ...]], ...] = ()
    within: tuple[tuple[str, int], ...] = ()
    of_node: tuple[tuple[Name, OfNode], ...] = ()
    pod_group: Name | None = None
    entries: tuple[tuple[tuple[str, str, str], Name | None], ...] = ()
    evicted: bool = False

    def containers(self, name: Name) -> tuple[str, ...]:
        """The containers that use a claim."""
        return dict(self.users).get(name, ())


def needs_of(pod: Pod) -> Needs:
    """Which claims a pod uses. Those that are made from templates are named by its status."""
    made = {status.name: status for status in pod.status.resource_claim_statuses}
    found: dict[Name, None] = {}
    called: dict[str, Name] = {}
    owned, missing = set[Name](), ""
    for one in pod.spec.resource_claims:
        if one.resource_claim_name:
            called[one.name] = pod.metadata.namespace, one.resource_claim_name
            found[called[one.name]] = None
        elif (status := made.get(one.name)) is None:
            missing = missing or f"{pod.metadata.namespace}/{one.resource_claim_template_name or one.name}"
        elif status.resource_claim_name:
            name = called[one.name] = pod.metadata.namespace, status.resource_claim_name
            found[name] = None
            owned.add(name)
    special: Name | None = None
    if (extended := pod.status.extended_resource_claim_status) is not None:
        special = pod.metadata.namespace, extended.resource_claim_name
        found[special] = None
        owned.add(special)
    needs = Needs(tuple(found), frozenset(owned), missing, special, _users(pod, called), _within(pod), _of_node(pod))
    group = pod.spec.scheduling_group
    if group is None or not group.pod_group_name:
        return needs
    said = [
        ((one.name, one.resource_claim_name or "", one.resource_claim_template_name or ""), called.get(one.name))
        for one in pod.spec.resource_claims
    ]
    evicted = any(one.type == DISRUPTION_TARGET and one.status == "True" for one in pod.status.conditions)
    return replace(
        needs,
        pod_group=(pod.metadata.namespace, group.pod_group_name),
        entries=tuple(said),
        evicted=evicted,
    )


def _users(pod: Pod, called: Mapping[str, Name]) -> tuple[tuple[Name, tuple[str, ...]], ...]:
    users: dict[Name, dict[str, None]] = {}
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        for one in container.resources.claims:
            if (name := called.get(one.name)) is not None:
                users.setdefault(name, {})[container.name] = None
    return tuple((name, tuple(containers)) for name, containers in users.items())


def _within(pod: Pod) -> tuple[tuple[str, int], ...]:
    try:
        return tuple(sorted(left_by_containers(pod).items()))
    except MalformedObjectError:
        return ()  # whoever reads its requests says so


def _of_node(pod: Pod) -> tuple[tuple[Name, OfNode], ...]:
    """What cannot be read is left out: what its devices say counts."""
    found = []
    for one in pod.status.node_allocatable_resource_claim_statuses:
        with suppress(MalformedObjectError):
            part = tuple(sorted(amounts(one.resources, "", "").items()))
            found.append(((pod.metadata.namespace, one.resource_claim_name), part))
    return tuple(found)


def split(key: str) -> Name:
    """Namespace and name of ``namespace/name``."""
    namespace, _, name = key.partition("/")
    return namespace, name
