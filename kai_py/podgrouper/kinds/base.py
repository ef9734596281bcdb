"""What all kinds share: the podgroup of an owner, with everything it inherits."""

from __future__ import annotations

from collections.abc import Callable

from kai_py.api import keys
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Group, Membership
from kai_py.podgrouper.traits import (
    Context,
    DefaultPriority,
    duration_of,
    preemptibility_of,
    priority_class_of,
    queue_of,
    topology_of,
)

#: Decides for a pod whose lineage has an owner of the kind; that owner is the second argument.
Rule = Callable[[Lineage, Ancestor, Context], Membership]


def group_for(
    lineage: Lineage, owner: Ancestor, context: Context, *, priority: DefaultPriority, min_member: int = 1
) -> Group:
    """The podgroup that belongs to ``owner``, with what it inherits along the lineage."""
    return Group(
        namespace=lineage.pod.metadata.namespace,
        name=f"pg-{owner.reference.name}-{owner.reference.uid}",
        owner=owner.reference,
        queue=queue_of(lineage),
        priority_class=priority_class_of(lineage, context, default=priority),
        min_member=min_member,
        preemptibility=preemptibility_of(lineage, context),
        topology=topology_of(lineage),
        preemption_delay=duration_of(lineage, context, keys.PREEMPTION_DELAY_ANNOTATION, negative=False),
        staleness_grace_period=duration_of(lineage, context, keys.STALENESS_GRACE_ANNOTATION, negative=True),
        labels=_labels(lineage, owner),
        annotations=owner.annotations,
        top_owner=(lineage.owners[-1] if lineage.owners else lineage.itself).reference,
    )


def member(group: Group, context: Context, *, written: bool, subgroup: str | None = None) -> Membership:
    """The membership in a derived podgroup."""
    return Membership((group.namespace, group.name), group, written, subgroup, tuple(context.warnings))


def _labels(lineage: Lineage, owner: Ancestor) -> dict[str, str]:
    pool = lineage.label(keys.NODE_POOL_LABEL)
    return {**owner.labels, **({keys.NODE_POOL_LABEL: pool} if pool else {})}
