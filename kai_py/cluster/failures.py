"""Memory of failed binds: not the same node again soon, and longer and longer pauses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: Pause after the first failure and its ceiling, in seconds; each further failure doubles it.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
#: For so long a pod is not tried again on a node that refused it.
NODE_MEMORY: Final = 300.0


@dataclass
class _Record:
    count: int = 0
    until: float = 0.0
    nodes: dict[str, float] = field(default_factory=dict)


class Failures:
    """Failed binds by pod uid."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def note(self, uid: str, node: str | None, now: float) -> float:
        """Remember a failure; returns when the pod may be tried again. ``node`` is None if it is not to blame."""
        record = self._records.setdefault(uid, _Record())
        record.count += 1
        record.until = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (record.count - 1))
        if node is not None:
            record.nodes[node] = now + NODE_MEMORY
        return record.until

    def forget(self, uid: str) -> None:
        """The pod is bound or gone."""
        self._records.pop(uid, None)

    def paused(self, uid: str, now: float) -> bool:
        """Whether the pod must wait a little longer."""
        record = self._records.get(uid)
        return record is not None and now < record.until

    def excluded(self, uid: str, now: float) -> frozenset[str]:
        """Nodes that refused the pod not long ago."""
        record = self._records.get(uid)
        return frozenset(node for node, until in record.nodes.items() if now < until) if record else frozenset()

    def expiring(self, now: float) -> list[str]:
        """Uids of pods whose pause or exclusions ended since they were noted; each is named once."""
        ended = []
        for uid, record in self._records.items():
            if record.until and record.until <= now:
                record.until = 0.0
                ended.append(uid)
            if any(until <= now for until in record.nodes.values()):
                record.nodes = {node: until for node, until in record.nodes.items() if now < until}
                ended.append(uid)
        return ended

    def next_expiry(self, now: float) -> float | None:
        """When the next pause ends, so that a cycle can be woken for it; None without pauses."""
        return min((record.until for record in self._records.values() if record.until > now), default=None)
