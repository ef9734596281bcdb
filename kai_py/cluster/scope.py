"""Which part of a cluster this installation schedules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kai_py.api.keys import SCHEDULER_NAME
from kai_py.settings.model import Settings


@dataclass(frozen=True)
class Scope:
    """Which part of a cluster is ours.

    Attributes:
        scheduler_names: pods that name one of these are ours to schedule.
        pool_label: label of nodes, queues and pods that names their pool; empty = there are no pools.
        pool: our pool; empty = objects without the label.
    """

    scheduler_names: frozenset[str] = frozenset({SCHEDULER_NAME})
    pool_label: str = ""
    pool: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Scope:
        """What the settings say."""
        names = frozenset(settings.scheduler_names)
        if settings.node_pool is None:
            return cls(names)
        return cls(names, settings.node_pool.label_key, settings.node_pool.value)

    @property
    def name(self) -> str:
        """Tells this installation from others that work on the same cluster."""
        return "/".join(filter(None, (min(self.scheduler_names), self.pool)))

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is in our pool."""
        return not self.pool_label or labels.get(self.pool_label, "") == self.pool
