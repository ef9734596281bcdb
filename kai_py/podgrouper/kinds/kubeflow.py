"""Kubeflow's training jobs: one podgroup, a gang of all replicas unless the scheduling policy asks for fewer."""

from __future__ import annotations

from collections.abc import Callable

from kai_py.api import keys
from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.kinds.base import Rule, document, group_for, member, pod_field
from kai_py.podgrouper.kinds.segments import divide
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import TRAIN, Context


def training_job(replica_specs: str, *required: str) -> Rule:
    """The rule of a kind.

    Args:
        replica_specs: the field of the spec in which it keeps its roles.
        required: roles that it cannot do without.
    """

    def rule(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
        source = document(lineage, owner)
        minimum = minimum_of(source, lambda: all_replicas(source, replica_specs, *required))
        return divided(lineage, owner, context, source.at("spec", replica_specs), minimum)

    return rule


def divided(
    lineage: Lineage,
    owner: Ancestor,
    context: Context,
    roles: Field,
    minimum: int,
    *,
    absent: tuple[str, ...] = (),
    begin: int = 0,
) -> Membership:
    """The podgroup of a job, in segments if a template asks for them.

    Args:
        lineage: the pod and its owners.
        owner: the job.
        context: remembers.
        roles: of the spec.
        minimum: pods that must start together.
        absent: roles that are not waited for.
        begin: the first index of a role that is cut.
    """
    known = ("division", minimum, absent)
    division = context.memo.of(owner.known, known, lambda: divide(roles, owner, minimum, absent=absent))
    group = group_for(lineage, owner, context, priority=TRAIN, min_member=minimum, sub_groups=division.subgroups)
    labels = lineage.itself.labels
    role = labels.get(keys.KUBEFLOW_REPLICA_TYPE_LABEL) or labels.get(keys.KUBEFLOW_ROLE_LABEL, "")
    index = pod_field(lineage, "labels", keys.KUBEFLOW_REPLICA_INDEX_LABEL)
    return member(group, context, written=True, subgroup=division.subgroup(role.lower(), index, begin=begin))


def minimum_of(source: Field, otherwise: Callable[[], int]) -> int:
    """What the scheduling policy asks for; it may be more than there are replicas: then the gang waits."""
    asked = source.at("spec", "runPolicy", "schedulingPolicy", "minAvailable").number()
    return otherwise() if asked is None else asked


def all_replicas(source: Field, replica_specs: str, *required: str, single: str = "") -> int:
    """The pods of all roles.

    Args:
        source: the job.
        replica_specs: the field of its spec with the roles.
        required: roles that it cannot do without.
        single: a role that has one pod where it does not say how many.

    Raises:
        GroupingError: there are no roles, a required one is missing, or one has no replicas.
    """
    roles = source.at("spec", replica_specs)
    if not roles.entries():
        raise roles.missing()
    for name in required:
        if not roles.at(name):
            raise roles.at(name).missing()
    return sum(_replicas(role, otherwise=1 if name == single else None) for name, role in roles.entries().items())


def _replicas(role: Field, *, otherwise: int | None) -> int:
    field = role.at("replicas")
    replicas = field.number(least=1)
    if replicas is None and otherwise is None:
        raise field.missing()
    return replicas or otherwise or 0


tf_job: Rule = training_job("tfReplicaSpecs")
xgboost_job: Rule = training_job("xgbReplicaSpecs", "Master", "Worker")
jax_job: Rule = training_job("jaxReplicaSpecs", "Worker")
