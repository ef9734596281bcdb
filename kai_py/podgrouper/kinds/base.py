"""What all kinds share: the podgroup of an owner, with everything it inherits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from kai_py.api import keys
from kai_py.api.meta import OwnerReference
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

#: An object's name is a DNS subdomain. Names of owners may be as long themselves.
_LONGEST_NAME: Final = 253
_DIGEST: Final = 16

#: Decides for a pod whose lineage has an owner of the kind; that owner is the second argument.
Rule = Callable[[Lineage, Ancestor, Context], Membership]


def group_for(
    lineage: Lineage, owner: Ancestor, context: Context, *, priority: DefaultPriority, min_member: int = 1
) -> Group:
    """The podgroup that belongs to ``owner``, with what it inherits along the lineage."""
    return Group(
        namespace=lineage.pod.metadata.namespace,
        name=_name_for(owner.reference),
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


def _name_for(owner: OwnerReference) -> str:
    """``pg-<name>-<uid>``; one that is too long for an object ends in a hash of the whole instead."""
    name = f"pg-{owner.name}-{owner.uid}"
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    # A part of a DNS name ends in a letter or a digit, so that no dot or dash may stand before the dash.
    return f"{name[: _LONGEST_NAME - _DIGEST - 1].rstrip('.-')}-{digest}"


def member(group: Group, context: Context, *, written: bool, subgroup: str | None = None) -> Membership:
    """The membership in a derived podgroup."""
    return Membership((group.namespace, group.name), group, written, subgroup, tuple(context.warnings))


def _labels(lineage: Lineage, owner: Ancestor) -> dict[str, str]:
    pool = lineage.label(keys.NODE_POOL_LABEL)
    return {**owner.labels, **({keys.NODE_POOL_LABEL: pool} if pool else {})}
