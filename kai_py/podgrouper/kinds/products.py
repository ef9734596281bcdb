"""Kinds of products: run.ai's RunaiJob, and Azure's AmlJob."""

from __future__ import annotations

from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.kinds.base import document, group_for, member
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import TRAIN, Context


def runai_job(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of one trial: pods ``<job>-<trial>-<pod>`` share one, named ``pg-<job>-<trial>-<uid of the job>``.

    Pods that have a podgroup named in an earlier way keep it.
    """
    uid, pod = owner.reference.uid, lineage.pod.metadata.name
    name = _legacy_name(lineage, owner, context) or f"pg-{pod.rpartition('-')[0] or pod}-{uid}"
    return member(group_for(lineage, owner, context, priority=TRAIN, name=name), context, written=True)


def _legacy_name(lineage: Lineage, owner: Ancestor, context: Context) -> str:
    if not context.options.legacy:
        return ""
    parallelism = _parallelism(document(lineage, owner))
    base = lineage.pod.metadata.name if parallelism > 1 else owner.reference.name
    name = f"pg-{base}-{owner.reference.uid}"
    return name if context.surroundings.podgroup(lineage.pod.metadata.namespace, name) is not None else ""


def _parallelism(source: Field) -> int:
    value = source.at("spec", "parallelism").value
    return value if isinstance(value, int) else 1


def aml_job(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the AmlJob: a gang of as many pods as it has nodes."""
    nodes = document(lineage, owner).at("spec", "job", "options", "envs", "AZUREML_NODE_COUNT")
    if (minimum := nodes.number()) is None:
        raise nodes.missing()
    return member(group_for(lineage, owner, context, priority=TRAIN, min_member=minimum), context, written=True)
