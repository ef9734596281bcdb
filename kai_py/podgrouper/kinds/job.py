"""batch Job: one podgroup; the pods start one by one unless an annotation asks for a gang."""

from __future__ import annotations

from kai_py.api.keys import BATCH_MIN_MEMBER_ANNOTATION, JOB_INDEX_LABEL
from kai_py.errors import Fault
from kai_py.podgrouper.errors import GroupingError
from kai_py.podgrouper.fields import whole_number
from kai_py.podgrouper.kinds.base import group_for, member, pod_field
from kai_py.podgrouper.kinds.segments import cut_by_pod, segment_of, spec_of, whole
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import TRAIN, Context


def job(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the Job, indexed or not.

    A pod that an earlier KAI has given a podgroup of its own keeps it.

    Raises:
        GroupingError: the annotation ``kai.scheduler/batch-min-member`` is not a whole number from 0 on, or segments
            make no sense.
    """
    legacy = _legacy_name(lineage, owner, context)
    minimum = 1 if legacy else _minimum(lineage)
    cut = None if legacy else cut_by_pod(lineage, owner)
    if cut is None:
        group = group_for(lineage, owner, context, priority=TRAIN, min_member=minimum, name=legacy)
        return member(group, context, written=True)
    pods = max(_indices(lineage, owner), minimum, 1)
    asks = ("job segments", cut.size, cut.topology, pods, minimum)
    subgroups = context.memo.of(owner.known, asks, lambda: whole(cut, pods=pods, needed=minimum))
    group = group_for(lineage, owner, context, priority=TRAIN, min_member=minimum, sub_groups=subgroups)
    index = pod_field(lineage, "labels", JOB_INDEX_LABEL)
    return member(group, context, written=True, subgroup=segment_of(cut, index))


def _indices(lineage: Lineage, owner: Ancestor) -> int:
    """How many indices the pods have altogether; 0 while nobody knows.

    Raises:
        GroupingError: they have none.
    """
    spec = spec_of(owner, lineage.where(owner))
    mode = spec.at("completionMode")
    if spec.value and mode.text() != "Indexed":
        raise mode.fault("should be Indexed: segments are cut by index")
    completions = spec.at("completions").number()
    return completions if completions is not None else spec.at("parallelism").number() or 0


def cron_job(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the Job below the CronJob: each run is a group of its own."""
    below = lineage.owners[lineage.owners.index(owner) - 1]
    if below is owner or below.kind != ("batch", "Job"):
        raise GroupingError(
            [Fault(lineage.where(owner), "", f"no Job in between owns {lineage.where(lineage.itself)}")]
        )
    return job(lineage, below, context)


def _legacy_name(lineage: Lineage, owner: Ancestor, context: Context) -> str:
    if lineage.pod.metadata.name == owner.reference.name:
        return ""  # both ways give the same name
    name = f"pg-{lineage.pod.metadata.name}-{owner.reference.uid}"
    known = context.options.legacy and context.surroundings.podgroup(lineage.pod.metadata.namespace, name)
    return name if known else ""


def _minimum(lineage: Lineage) -> int:
    for voice, text in lineage.annotations(BATCH_MIN_MEMBER_ANNOTATION):
        if (number := whole_number(text)) is None or number < 0:
            field = f"metadata.annotations[{BATCH_MIN_MEMBER_ANNOTATION}]"
            raise GroupingError([Fault(lineage.where(voice), field, f"{text[:40]!r} is not a number of pods")])
        return number
    return 1
