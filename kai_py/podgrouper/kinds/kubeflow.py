"""Kubeflow's training jobs: one podgroup, a gang of all replicas unless the scheduling policy asks for fewer."""

from __future__ import annotations

from collections.abc import Callable

from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.kinds.base import Rule, document, group_for, member
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
        group = group_for(lineage, owner, context, priority=TRAIN, min_member=minimum)
        return member(group, context, written=True)

    return rule


def minimum_of(source: Field, otherwise: Callable[[], int]) -> int:
    """What the scheduling policy asks for; it may be more than there are replicas: then the gang waits."""
    asked = source.at("spec", "runPolicy", "schedulingPolicy", "minAvailable").number()
    return otherwise() if asked is None else asked


def all_replicas(source: Field, replica_specs: str, *required: str) -> int:
    """The pods of all roles.

    Raises:
        GroupingError: there are no roles, a required one is missing, or one has no replicas.
    """
    roles = source.at("spec", replica_specs)
    if not roles.entries():
        raise roles.missing()
    for name in required:
        if not roles.at(name):
            raise roles.at(name).missing()
    return sum(_replicas(role) for role in roles.entries().values())


def _replicas(role: Field) -> int:
    field = role.at("replicas")
    if (replicas := field.number(least=1)) is None:
        raise field.missing()
    return replicas


tf_job: Rule = training_job("tfReplicaSpecs")
xgboost_job: Rule = training_job("xgbReplicaSpecs", "Master", "Worker")
jax_job: Rule = training_job("jaxReplicaSpecs", "Worker")
