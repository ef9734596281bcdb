"""The question, and the rules in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Container, Mapping
from types import MappingProxyType
from typing import Final

from kai_py.api.keys import POD_TEMPLATE_HASH_LABEL, PODGROUP_ANNOTATION, SUBGROUP_LABEL
from kai_py.api.meta import PartialObject
from kai_py.api.pod import Pod
from kai_py.podgrouper.kinds.base import Rule
from kai_py.podgrouper.kinds.default import default
from kai_py.podgrouper.kinds.job import cron_job, job
from kai_py.podgrouper.kinds.single import bare_pod, deployment
from kai_py.podgrouper.lineage import Ancestor, Lineage, trace
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import Context

#: Rules by ``(group, kind)`` of an owner, in any version. Of several owners the topmost one with a rule decides.
RULES: Final[Mapping[tuple[str, str], Rule]] = MappingProxyType(
    {
        ("batch", "Job"): job,
        ("batch", "CronJob"): cron_job,
        ("apps", "Deployment"): deployment,
    }
)


def group_of(
    pod: Pod,
    owners: Mapping[str, PartialObject] = MappingProxyType({}),
    *,
    priority_classes: Container[str] | None = None,
) -> Membership | None:
    """Tell which podgroup a pod belongs to.

    Args:
        pod: the pod.
        owners: its owners by uid, as far as they are known; as :class:`~kai_py.api.workload.Workload` where a rule
            reads the spec. Without them the pod's own reference decides.
        priority_classes: names of the PriorityClasses that exist; ``None`` believes every name.

    Returns:
        ``None`` when the pod is to be left alone, because it or an owner says so and it names no podgroup.

    Raises:
        GroupingError: an owner cannot be understood.
    """
    # The fast path of pods that say it themselves: no owner is looked at.
    if name := pod.metadata.annotations.get(PODGROUP_ANNOTATION):
        return Membership((pod.metadata.namespace, name), subgroup=pod.metadata.labels.get(SUBGROUP_LABEL) or None)
    lineage = trace(pod, owners)
    if lineage.skipped:
        return None
    context = Context(priority_classes)
    if not lineage.owners:
        return bare_pod(lineage, context)
    rule, owner = _rule_for(lineage)
    return rule(lineage, owner, context)


def _rule_for(lineage: Lineage) -> tuple[Rule, Ancestor]:
    for owner in reversed(lineage.owners):
        if owner.kind in RULES:
            return RULES[owner.kind], owner
    nearest = lineage.owners[0]
    hashed = POD_TEMPLATE_HASH_LABEL in lineage.pod.metadata.labels
    if nearest.kind == ("apps", "ReplicaSet") and hashed and nearest.known is None:
        # A Deployment marks its pods so: we need not know the ReplicaSet to see what is above it.
        return deployment, nearest
    return default, lineage.owners[-1]
