"""Node: what it offers and whom it keeps away. Conditions do not decide: taints say what they mean for pods."""

from __future__ import annotations

from collections.abc import Mapping

from kai_py.api.meta import NO_QUANTITIES, ObjectMeta, Quantity, Record
from kai_py.api.selectors import Condition


class Taint(Record, frozen=True):
    """Keeps pods away that do not tolerate it. ``effect``: NoSchedule, PreferNoSchedule or NoExecute."""

    key: str
    effect: str
    value: str = ""


class NodeSpec(Record, frozen=True):
    """What the administrator says about a node."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class ContainerImage(Record, frozen=True):
    """An image that the node has already pulled."""

    names: tuple[str, ...] = ()
    size_bytes: int = 0


class NodeStatus(Record, frozen=True):
    """What the kubelet says about a node."""

    allocatable: Mapping[str, Quantity] = NO_QUANTITIES
    capacity: Mapping[str, Quantity] = NO_QUANTITIES
    conditions: tuple[Condition, ...] = ()
    images: tuple[ContainerImage, ...] = ()
    declared_features: tuple[str, ...] = ()


class Node(Record, frozen=True):
    """A node."""

    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
