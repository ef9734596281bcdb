"""Which claims a pod uses, and which of them were made for it."""

from __future__ import annotations

from dataclasses import dataclass

from kai_py.api.pod import Pod
from kai_py.cluster.claim_objects import Name


@dataclass(frozen=True)
class Needs:
    """The claims of a pod.

    Attributes:
        claims: namespace and name, in the pod's order, each once.
        owned: those of them that are made from templates.
        missing: a claim or template that is not known by name yet.
        extended: the claim that serves its extended resources; the last one of ``claims``.
    """

    claims: tuple[Name, ...] = ()
    owned: frozenset[Name] = frozenset()
    missing: str = ""
    extended: Name | None = None


def needs_of(pod: Pod) -> Needs:
    """Which claims a pod uses. Those that are made from templates are named by its status."""
    made = {status.name: status for status in pod.status.resource_claim_statuses}
    found: dict[Name, None] = {}
    owned, missing = set[Name](), ""
    for one in pod.spec.resource_claims:
        if one.resource_claim_name:
            found[pod.metadata.namespace, one.resource_claim_name] = None
        elif (status := made.get(one.name)) is None:
            missing = missing or f"{pod.metadata.namespace}/{one.resource_claim_template_name or one.name}"
        elif status.resource_claim_name:
            name = pod.metadata.namespace, status.resource_claim_name
            found[name] = None
            owned.add(name)
    special: Name | None = None
    if (extended := pod.status.extended_resource_claim_status) is not None:
        special = pod.metadata.namespace, extended.resource_claim_name
        found[special] = None
        owned.add(special)
    return Needs(tuple(found), frozenset(owned), missing, special)


def split(key: str) -> Name:
    """Namespace and name of ``namespace/name``."""
    namespace, _, name = key.partition("/")
    return namespace, name
