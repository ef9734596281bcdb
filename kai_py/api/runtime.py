"""RuntimeClass: what a container runtime costs, and on which nodes it is installed."""

from __future__ import annotations

from collections.abc import Mapping

from kai_py.api.meta import NO_QUANTITIES, NO_STRINGS, ObjectMeta, Quantity, Record
from kai_py.api.pod import Toleration


class Overhead(Record, frozen=True):
    """What every pod of the class costs on top of its containers."""

    pod_fixed: Mapping[str, Quantity] = NO_QUANTITIES


class RuntimeScheduling(Record, frozen=True):
    """Where pods of the class can run."""

    node_selector: Mapping[str, str] = NO_STRINGS
    tolerations: tuple[Toleration, ...] = ()


class RuntimeClass(Record, frozen=True):
    """A container runtime configuration."""

    metadata: ObjectMeta
    handler: str = ""
    overhead: Overhead = Overhead()
    scheduling: RuntimeScheduling = RuntimeScheduling()
