"""Spark: driver and executors of an application are one podgroup; executors join one by one."""

from __future__ import annotations

from kai_py.api.keys import SPARK_APP_LABEL, SPARK_SELECTOR_LABEL
from kai_py.podgrouper.kinds.base import group_for, member
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import TRAIN, Context


def is_spark(lineage: Lineage) -> bool:
    """Whether Spark has made the pod: it labels driver and executors alike."""
    labels = lineage.itself.labels
    return bool(labels.get(SPARK_APP_LABEL) and labels.get(SPARK_SELECTOR_LABEL))


def spark_application(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the application, named as Spark names it.

    The driver starts alone and asks for its executors then, so that the minimum is one.
    """
    name = lineage.itself.labels[SPARK_SELECTOR_LABEL]
    return member(group_for(lineage, owner, context, priority=TRAIN, name=name), context, written=True)
