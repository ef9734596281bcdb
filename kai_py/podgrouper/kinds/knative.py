"""Knative: each Revision is a podgroup with its minimum scale, or, by setting, each pod on its own."""

from __future__ import annotations

from collections.abc import Mapping

from kai_py.api import keys
from kai_py.api.meta import OwnerReference
from kai_py.errors import Fault
from kai_py.podgrouper.errors import GroupingError
from kai_py.podgrouper.fields import whole_number
from kai_py.podgrouper.kinds.base import group_for, member, pending, pod_field
from kai_py.podgrouper.kinds.single import alone
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import INFERENCE, Context

_GROUP = "serving.knative.dev"
_REVISION = (_GROUP, "Revision")


def knative(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the pod's Revision.

    Raises:
        GroupingError: the pod names no revision.
        GroupingPending: the Revision is not known.
    """
    revision = _revision(lineage, owner, context)
    if not context.options.knative_gang or _is_divided(lineage, revision, context):
        return alone(lineage, revision, context, priority=INFERENCE)
    minimum = _minimum(lineage, revision, context)
    group = group_for(lineage, revision, context, priority=INFERENCE, min_member=minimum)
    return member(group, context, written=True)


def _revision(lineage: Lineage, owner: Ancestor, context: Context) -> Ancestor:
    label = pod_field(lineage, "labels", keys.KNATIVE_REVISION_LABEL)
    name = label.text()
    if name is None:
        raise label.missing()
    above = lineage.nearest(_REVISION)
    if above is not None and above.reference.name == name and above.known is not None:
        return above
    known = context.surroundings.find(*_REVISION, lineage.pod.metadata.namespace, name)
    if known is None:
        raise pending(lineage, owner, f"Revision {name!r} is not known (yet)")
    version = known.api_version or owner.reference.api_version
    return Ancestor(OwnerReference(api_version=version, kind="Revision", name=name, uid=known.metadata.uid), known)


def _minimum(lineage: Lineage, revision: Ancestor, context: Context) -> int:
    text = revision.annotations.get(keys.KNATIVE_MIN_SCALE_ANNOTATION)
    if text is None:
        return 1
    if (number := whole_number(text)) is not None and number >= 0:
        return number
    where, name = lineage.where(revision), keys.KNATIVE_MIN_SCALE_ANNOTATION
    context.warnings.append(f"{where}: annotation {name} {text[:40]!r} is not a number of pods; 1 is taken")
    return 1


def _is_divided(lineage: Lineage, revision: Ancestor, context: Context) -> bool:
    """Whether an earlier KAI has given the Revision's pods podgroups of their own."""
    if not context.options.legacy:
        return False
    names = _podgroups(lineage, revision, context)
    if len(names) != 1 or max(names.values()) > 1:
        return len(names) > 1 and max(names.values()) == 1
    name = next(iter(names))
    podgroup = context.surroundings.podgroup(lineage.pod.metadata.namespace, name)
    if podgroup is None:
        return False
    kinds = [owner.kind for owner in podgroup.metadata.owner_references[:1]]
    if kinds not in (["Pod"], ["Revision"]):
        where, field = f"PodGroup {lineage.pod.metadata.namespace}/{name}", "metadata.ownerReferences"
        message = f"should be the Revision or a pod: {lineage.where(revision)} has pods in it"
        raise GroupingError([Fault(where, field, message)])
    return kinds == ["Pod"]


def _podgroups(lineage: Lineage, revision: Ancestor, context: Context) -> Mapping[str, int]:
    """The podgroups that the Revision's pods name, and how many pods name each."""
    names: dict[str, int] = {}
    labels = {keys.KNATIVE_REVISION_LABEL: revision.reference.name}
    for pod in context.surroundings.pods(lineage.pod.metadata.namespace, labels):
        if name := pod.annotations.get(keys.PODGROUP_ANNOTATION):
            names[name] = names.get(name, 0) + 1
    return names
