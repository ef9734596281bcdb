"""Memory of failed binds: not the same node again soon, and longer and longer pauses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from kai_py.core.tables.pods import PodKey

#: Pause after the first failure and its ceiling, in seconds; each further failure doubles it.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
#: For so long a pod is not tried again on a node that refused it.
NODE_MEMORY: Final = 300.0


@dataclass(slots=True)
class _Record:
    count: int = 0
    until: float = 0.0
    why: str = ""
    nodes: dict[str, float] = field(default_factory=dict)

    def ends(self) -> list[float]:
        """When the pause and each exclusion ends."""
        return [self.until, *self.nodes.values()] if self.until else [*self.nodes.values()]


class Failures:
    """Failed binds by pod. A record lasts until the pod is bound or gone."""

    def __init__(self) -> None:
        self._records: dict[PodKey, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def note(self, pod: PodKey, node: str | None, now: float, why: str = "") -> float:
        """Remember a failure; returns when the pod may be tried again.

        Args:
            pod: that failed.
            node: None if it is not to blame.
            now: seconds since the epoch.
            why: for people, who are told while the pod pauses.
        """
        record = self._records.setdefault(pod, _Record())
        record.count += 1
        record.why = why
        # The exponent is bounded, because a pod may fail for months.
        record.until = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(record.count - 1, 16))
        if node is not None:
            record.nodes[node] = now + NODE_MEMORY
        return record.until

    def forget(self, pod: PodKey) -> None:
        """The pod is bound or gone."""
        self._records.pop(pod, None)

    def paused(self, pod: PodKey, now: float) -> bool:
        """Whether the pod must wait a little longer."""
        record = self._records.get(pod)
        return record is not None and now < record.until

    def why(self, pod: PodKey) -> str:
        """What was said about the last failure; empty if nothing was."""
        record = self._records.get(pod)
        return record.why if record is not None else ""

    def excluded(self, pod: PodKey, now: float) -> frozenset[str]:
        """Nodes that refused the pod not long ago."""
        record = self._records.get(pod)
        return frozenset(node for node, until in record.nodes.items() if now < until) if record else frozenset()

    def expiring(self, now: float) -> list[PodKey]:
        """Pods whose pause or exclusions ended since they were noted; each ending is told once."""
        ended = []
        for pod, record in self._records.items():
            if any(end <= now for end in record.ends()):
                record.until = record.until if record.until > now else 0.0
                record.nodes = {node: until for node, until in record.nodes.items() if now < until}
                ended.append(pod)
        return ended

    def next_expiry(self, now: float) -> float | None:
        """When the next pause or exclusion ends, so that a cycle can be woken for it; None without any.

        Never in the past: what has ended and was not told by :meth:`expiring` yet ends now.
        """
        end = min((end for record in self._records.values() for end in record.ends()), default=None)
        return None if end is None else max(end, now)
