"""What all kinds share: the podgroup of an owner, with everything it inherits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from kai_py.api import keys
from kai_py.api.duration import Duration
from kai_py.api.meta import OwnerReference
from kai_py.api.podgroup import Preemptibility, SubGroup, TopologyConstraint
from kai_py.api.workload import Workload
from kai_py.errors import Fault
from kai_py.podgrouper.errors import GroupingPending
from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Group, Membership
from kai_py.podgrouper.traits import (
    Context,
    PriorityClasses,
    duration_of,
    preemptibility_of,
    priority_classes_of,
    queue_of,
    topology_of,
)

T = TypeVar("T")

#: An object's name is a DNS subdomain. Names of owners may be as long themselves.
_LONGEST_NAME: Final = 253
_DIGEST: Final = 16

#: Decides for a pod whose lineage has an owner of the kind; that owner is the second argument.
Rule = Callable[[Lineage, Ancestor, Context], Membership]


def group_for(
    lineage: Lineage,
    owner: Ancestor,
    context: Context,
    *,
    priority: str,
    min_member: int | None = 1,
    min_sub_group: int | None = None,
    sub_groups: tuple[SubGroup, ...] = (),
    name: str = "",
    traits_of: Ancestor | None = None,
) -> Group:
    """The podgroup that belongs to ``owner``, with what it inherits along the lineage.

    Args:
        lineage: the pod and its owners.
        owner: the object whose end is the podgroup's end.
        context: gets warnings.
        priority: the PriorityClass of the kind.
        min_member: pods that must start together.
        min_sub_group: children that must be satisfied, instead.
        sub_groups: its parts.
        name: by default ``pg-<owner name>-<owner uid>``.
        traits_of: whose labels and annotations the podgroup has; by default the owner's.
    """
    whose = traits_of or owner
    said, above = _heard(lineage, whose)
    nearest = above[0] if lineage.owners and whose is not lineage.itself else None
    traits = _remembered(context, nearest, ("traits", said), above, lambda: _traits(lineage, whose, context))
    context.warnings += traits.warnings
    priority_class = traits.priority_classes.choose(context, default=priority)
    named = _shortened(name) if name else name_for(owner.reference)

    def make() -> Group:
        return Group(
            namespace=lineage.pod.metadata.namespace,
            name=named,
            owner=owner.reference,
            queue=traits.queue,
            priority_class=priority_class,
            min_member=min_member,
            min_sub_group=min_sub_group,
            sub_groups=sub_groups,
            preemptibility=traits.preemptibility,
            topology=traits.topology,
            preemption_delay=traits.preemption_delay,
            staleness_grace_period=traits.staleness_grace_period,
            labels=traits.labels,
            annotations=traits.annotations,
            top_owner=lineage.top.reference,
        )

    if owner is lineage.itself:
        return make()
    asks = (said, named, priority_class, min_member, min_sub_group, id(sub_groups))
    return _remembered(context, nearest, asks, (*above, sub_groups), make)


def _heard(lineage: Lineage, whose: Ancestor) -> tuple[tuple[str | None, ...], tuple[object, ...]]:
    """What a pod says of what its podgroup inherits, and the known owners who have a say in it."""
    labels, annotations = lineage.itself.labels, lineage.itself.annotations
    said = (*map(labels.get, _LABELS), *map(annotations.get, _ANNOTATIONS), lineage.pod.spec.priority_class_name)
    return said, tuple(one.known for one in (*lineage.owners, *lineage.envelopes, whose))


def _remembered(
    context: Context, nearest: object, what: Hashable, above: tuple[object, ...], make: Callable[[], T]
) -> T:
    """What was made for an earlier pod with the same owners that said the same, or is made now.

    Args:
        context: remembers.
        nearest: the nearest owner; ``None`` when nothing is to be remembered.
        what: tells apart what is made.
        above: all that it is made of; kept with the answer, so that their ids stay their own.
        make: makes it.
    """
    if nearest is None:
        return make()
    return context.memo.of(nearest, (what, *map(id, above)), lambda: (make(), above))[0]


class _Traits(NamedTuple):
    """What a podgroup inherits. Which PriorityClasses exist is asked each time: they come and go."""

    queue: str
    priority_classes: PriorityClasses
    preemptibility: Preemptibility
    topology: TopologyConstraint | None
    preemption_delay: Duration | None
    staleness_grace_period: Duration | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    warnings: tuple[str, ...]


#: What of a pod may be inherited by its podgroup.
_LABELS: Final = (
    keys.QUEUE_LABEL,
    keys.PROJECT_LABEL,
    keys.NODE_POOL_LABEL,
    keys.PRIORITY_CLASS_LABEL,
    keys.PREEMPTIBILITY_LABEL,
    keys.USER_KEY,
)
_ANNOTATIONS: Final = (
    keys.PREEMPTION_DELAY_ANNOTATION,
    keys.STALENESS_GRACE_ANNOTATION,
    keys.TOPOLOGY_ANNOTATION,
    keys.REQUIRED_LEVEL_ANNOTATION,
    keys.PREFERRED_LEVEL_ANNOTATION,
    keys.USER_KEY,
)


def _traits(lineage: Lineage, whose: Ancestor, context: Context) -> _Traits:
    """What is inherited along a lineage."""
    apart = replace(context, warnings=[])
    return _Traits(
        queue=queue_of(lineage),
        priority_classes=priority_classes_of(lineage, apart),
        preemptibility=preemptibility_of(lineage, apart),
        topology=topology_of(lineage),
        preemption_delay=duration_of(lineage, apart, keys.PREEMPTION_DELAY_ANNOTATION, negative=False),
        staleness_grace_period=duration_of(lineage, apart, keys.STALENESS_GRACE_ANNOTATION, negative=True),
        labels=_labels(lineage, whose),
        annotations=_annotations(lineage, whose),
        warnings=tuple(apart.warnings),
    )


def name_for(owner: OwnerReference, *, suffix: str = "") -> str:
    """``pg-<name>-<uid>``; one that is too long for an object ends in a hash of the whole instead."""
    return _shortened(f"pg-{owner.name}-{owner.uid}{suffix}")


def _shortened(name: str) -> str:
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    # A part of a DNS name ends in a letter or a digit, so that no dot or dash may stand before the dash.
    return f"{name[: _LONGEST_NAME - _DIGEST - 1].rstrip('.-')}-{digest}"


def member(group: Group, context: Context, *, written: bool, subgroup: str | None = None) -> Membership:
    """The membership in a derived podgroup."""
    return Membership((group.namespace, group.name), group, written, subgroup, tuple(context.warnings))


def document(lineage: Lineage, owner: Ancestor) -> Field:
    """The owner as a document.

    Raises:
        GroupingPending: more than its metadata is needed, and not known.
    """
    if not isinstance(owner.known, Workload):
        raise pending(lineage, owner, "is not known (yet); its fields decide about the gang")
    return Field(lineage.where(owner), "", {"spec": owner.known.spec, "status": owner.known.status})


def pod_field(lineage: Lineage, kind: str, key: str) -> Field:
    """A label or annotation of the pod.

    Args:
        lineage: the pod and its owners.
        kind: ``labels`` or ``annotations``.
        key: its key.
    """
    values = lineage.itself.labels if kind == "labels" else lineage.itself.annotations
    return Field(f"Pod {'/'.join(lineage.pod.metadata.key)}", f"metadata.{kind}[{key}]", values.get(key))


def pending(lineage: Lineage, owner: Ancestor, message: str) -> GroupingPending:
    """The answer that there is no answer yet."""
    return GroupingPending([Fault(lineage.where(owner), "", message)])


def _labels(lineage: Lineage, owner: Ancestor) -> dict[str, str]:
    labels = _inherited(lineage, owner, "labels")
    pool, user = lineage.label(keys.NODE_POOL_LABEL), lineage.itself.labels.get(keys.USER_KEY)
    if pool:
        labels[keys.NODE_POOL_LABEL] = pool
    if user:
        labels.setdefault(keys.USER_KEY, user)
    return labels


def _annotations(lineage: Lineage, owner: Ancestor) -> dict[str, str]:
    annotations = _inherited(lineage, owner, "annotations")
    if user := lineage.itself.annotations.get(keys.USER_KEY):
        annotations.setdefault(keys.USER_KEY, user)
    return annotations


def _inherited(lineage: Lineage, owner: Ancestor, what: str) -> dict[str, str]:
    """An owner's labels or annotations, over those of what only wraps it."""
    return {key: value for one in (*reversed(lineage.envelopes), owner) for key, value in getattr(one, what).items()}
