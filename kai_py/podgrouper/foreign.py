"""Gangs that somebody has described by another API: coscheduling's PodGroup, and Kubernetes' own Workload and PodGroup.

Sources: ``scheduling.x-k8s.io/v1alpha1`` (scheduler-plugins, KEP-42-podgroup-coscheduling) and ``scheduling.k8s.io``
(KEP-4671, gang scheduling).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from kai_py.api import keys
from kai_py.api.meta import OwnerReference, Quantity
from kai_py.api.model import MAX_LABEL_KEY
from kai_py.api.pod import Pod
from kai_py.api.podgroup import DisruptionMode, TopologyConstraint
from kai_py.api.quantity import parse_quantity
from kai_py.api.workload import Workload
from kai_py.errors import Fault
from kai_py.podgrouper.errors import GroupingError, GroupingPending
from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.foreign_claims import differing
from kai_py.podgrouper.kinds.base import document, group_for, member, name_for
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import TRAIN, Context

COSCHEDULING: Final = ("scheduling.x-k8s.io", "PodGroup")
NATIVE: Final = ("scheduling.k8s.io", "PodGroup")
WORKLOAD: Final = ("scheduling.k8s.io", "Workload")
#: All kinds that describe gangs and own no pods.
FOREIGN: Final = frozenset({COSCHEDULING, NATIVE, WORKLOAD})


@dataclass(frozen=True, slots=True)
class Claim:
    """What a pod says about the gang that it belongs to.

    Attributes:
        kind: of the object that describes the gang.
        name: of that object.
        field: where the pod says it.
        part: the pod group within a Workload.
        replica: which of several equal gangs.
    """

    kind: tuple[str, str]
    name: str
    field: str
    part: str = ""
    replica: str = ""


def names_gang(pod: Pod) -> bool:
    """Whether a pod names a gang by another API: most do not."""
    spec, labels = pod.spec, pod.metadata.labels
    by_label = keys.COSCHEDULING_LABEL in labels or keys.COSCHEDULING_OLD_LABEL in labels
    return by_label or spec.scheduling_group is not None or spec.workload_ref is not None


def claims(pod: Pod) -> Iterator[Claim]:
    """All gangs that a pod names by other APIs, the one that counts first."""
    if pod.spec.scheduling_group is not None and pod.spec.scheduling_group.pod_group_name:
        yield Claim(NATIVE, pod.spec.scheduling_group.pod_group_name, "spec.schedulingGroup.podGroupName")
    if (workload := pod.spec.workload_ref) is not None and workload.name:
        replica = workload.pod_group_replica_key
        yield Claim(WORKLOAD, workload.name, "spec.workloadRef", workload.pod_group, replica)
    for key in (keys.COSCHEDULING_LABEL, keys.COSCHEDULING_OLD_LABEL):
        if name := pod.metadata.labels.get(key):
            yield Claim(COSCHEDULING, name, f"metadata.labels[{key}]")
            return


def foreign(lineage: Lineage, context: Context) -> Membership | None:
    """The podgroup by the first gang that the pod names; ``None`` if it names none of a kind that is served.

    Raises:
        GroupingError: the object cannot be understood.
        GroupingPending: it does not exist yet.
    """
    served = [claim for claim in claims(lineage.pod) if context.surroundings.serves(*claim.kind)]
    if not served:
        return None
    if len({(claim.kind, claim.name) for claim in served}) > 1:
        said = ", ".join(_described(lineage, claim, context) for claim in served)
        where = lineage.where(lineage.itself)
        context.warnings.append(f"{where}: belongs to several gangs: {said}; the first one counts")
    return _group(lineage, served[0], context)


def passed_over(pod: Pod) -> str:
    """A sentence about gangs that a pod names beside the one in its annotation, which counts; empty if none."""
    also = ", ".join(f"{claim.kind[1]} {claim.name!r} of {claim.kind[0]}" for claim in claims(pod))
    where = f"Pod {'/'.join(pod.metadata.key)}"
    return (
        f"{where}: belongs to several gangs: its annotation {keys.PODGROUP_ANNOTATION} counts, not {also}"
        if also
        else ""
    )


def _described(lineage: Lineage, claim: Claim, context: Context) -> str:
    """A gang that a pod names, and how many pods it is for, as far as that is known."""
    name = f"{claim.kind[1]} {claim.name!r} of {claim.kind[0]}"
    known = context.surroundings.find(*claim.kind, lineage.pod.metadata.namespace, claim.name)
    if not isinstance(known, Workload):
        return name
    source = Field(name, "", {"spec": known.spec})
    try:
        policy = _template(source, claim) if claim.kind == WORKLOAD else source.at("spec")
        return f"{name} (for {minimum_asked(policy, claim.kind)} pods)"
    except GroupingError:
        return name


def disagreement(lineage: Lineage, chosen: Membership, derived: Membership) -> str:
    """A sentence if a pod's workload asks for another gang than the PodGroup that it names; else empty."""
    named, own = chosen.group, derived.group
    if named is None or own is None or (not own.sub_groups and own.min_member in {1, named.min_member}):
        return ""
    if own.min_member == named.min_member:
        return ""
    asked = f"{own.min_member} pods" if own.min_member is not None else f"{own.min_sub_group} subgroups"
    return (
        f"{lineage.where(lineage.top)}: asks for a gang of {asked}, "
        f"{named.owner.kind} {named.owner.name!r} for one of {named.min_member}; the latter counts"
    )


def _group(lineage: Lineage, claim: Claim, context: Context) -> Membership:
    group, kind = claim.kind
    namespace = lineage.pod.metadata.namespace
    known = context.surroundings.find(group, kind, namespace, claim.name)
    if known is None:
        where = f"{kind} {namespace}/{claim.name}"
        raise GroupingPending([Fault(where, "", f"is not known (yet), and {claim.field} of the pod names it")])
    version = known.api_version or f"{group}/v1alpha1"
    reference = OwnerReference(api_version=version, kind=kind, name=claim.name, uid=known.metadata.uid)
    gang = Ancestor(reference, known)
    source = document(lineage, gang)
    policy = _template(source, claim) if claim.kind == WORKLOAD else source.at("spec")
    if claim.kind == NATIVE and lineage.pod.spec.resource_claims:
        context.warnings.extend(differing(lineage.pod, policy, lineage.where(lineage.itself), claim.name))
    # The object is heard first: its labels may name the queue.
    heard = replace(lineage, owners=(gang, *lineage.owners))
    suffix = "".join(f"-{part}" for part in (claim.part, claim.replica) if part)
    made = group_for(
        heard,
        gang,
        context,
        priority=TRAIN,
        min_member=minimum_asked(policy, claim.kind),
        name=name_for(reference, suffix=suffix) if suffix else "",
    )
    return member(
        replace(
            made,
            topology=_topology(policy, context) or made.topology,
            priority_class=policy.at("priorityClassName").text() or made.priority_class,
            disruption_mode=_disruption_mode(policy) if claim.kind != COSCHEDULING else "",
            min_resources=_min_resources(policy) if claim.kind == COSCHEDULING else {},
        ),
        context,
        written=True,
    )


def minimum_asked(policy: Field, kind: tuple[str, str]) -> int:
    """How many pods a gang needs, by the spec of a PodGroup or the entry of a Workload.

    Raises:
        GroupingError: it does not say.
    """
    if kind == COSCHEDULING:
        field = policy.at("minMember")
        if (minimum := field.number(least=0)) is None:
            raise field.missing()
        return minimum
    # v1alpha1 calls it policy.
    said = policy.at("schedulingPolicy") or policy.at("policy")
    if said.at("basic"):
        return 1
    field = said.at("gang", "minCount")
    if (minimum := field.number(least=1)) is None:
        raise field.missing()
    return minimum


def _template(source: Field, claim: Claim) -> Field:
    """The part of a Workload that the pod names."""
    listed = source.at("spec", "podGroupTemplates") or source.at("spec", "podGroups")
    for template in listed.items():
        if template.at("name").text() == claim.part:
            return template
    raise listed.fault(f"has no entry {claim.part!r}, which {claim.field} of the pod names")


def _disruption_mode(policy: Field) -> DisruptionMode:
    """Whether a gang is one victim. ``Pod`` is the default."""
    field = policy.at("disruptionMode")
    match field.text():
        case None | "Pod":
            return ""
        case "PodGroup":
            return "PodGroup"
    raise field.wrong("should be Pod or PodGroup")


def _min_resources(policy: Field) -> dict[str, Quantity]:
    """What a coscheduling PodGroup wants to be free in the cluster."""
    found: dict[str, Quantity] = {}
    for name, field in policy.at("minResources").entries().items():
        try:
            negative = parse_quantity(field.value) < 0
        except (TypeError, ValueError) as error:
            raise field.wrong("should be a quantity") from error
        if negative:
            raise field.wrong("should not be negative")
        found[name] = field.value
    return found


def _topology(policy: Field, context: Context) -> TopologyConstraint | None:
    """All pods under one value of a node label: a level of the Topology that has it.

    Without such a Topology, or with several, whoever keeps constraints goes by the values of the label alone.
    """
    for constraint in policy.at("schedulingConstraints", "topology").items():
        field = constraint.at("key")
        if (key := field.text()) is not None:
            if len(key) > MAX_LABEL_KEY:
                raise field.wrong("is too long for a label's key")
            return TopologyConstraint(topology=context.surroundings.topology(key), required_topology_level=key)
    return None


def kinds_named(labels: Mapping[str, str], spec: Mapping[str, object]) -> set[tuple[str, str]]:
    """The kinds that a pod, as a manifest, names."""
    named = {COSCHEDULING} if {keys.COSCHEDULING_LABEL, keys.COSCHEDULING_OLD_LABEL} & labels.keys() else set()
    return named | ({NATIVE} if "schedulingGroup" in spec else set()) | ({WORKLOAD} if "workloadRef" in spec else set())
