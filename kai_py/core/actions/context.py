"""What the actions of one cycle share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kai_py.core.gangs.members import Members
from kai_py.core.gangs.order import PodGroupRank, podgroup_rank
from kai_py.core.gangs.steps import Gang
from kai_py.core.options import Action, Options
from kai_py.core.placement.gang import Placer
from kai_py.core.queues.service import Ranker
from kai_py.core.resources import Shares
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.snapshot import Snapshot


@dataclass
class Context:
    """One cycle's working state; made by ``run_cycle``, used by the actions one after the other.

    Attributes:
        gangs: the podgroups that have pods waiting and are not blocked, by row.
        refusals: the last reason why a podgroup, or its growth, was refused, by row.
        position: place in line within its queue, by row, from 1.
        considered: podgroups that were looked at, counted each time.
    """

    snapshot: Snapshot
    options: Options
    clock: Callable[[], float]
    ledger: Ledger
    transaction: Transaction
    placer: Placer
    ranker: Ranker
    members: Members
    shares: Shares
    gangs: dict[int, Gang] = field(default_factory=dict)
    refusals: dict[int, Reason] = field(default_factory=dict)
    position: dict[int, int] = field(default_factory=dict)
    considered: int = 0

    def queue_of(self, gang: Gang) -> int:
        """Row of the podgroup's leaf queue."""
        return int(self.snapshot.podgroups.queue_idx[gang.podgroup])

    def preemptible(self, gang: Gang) -> bool:
        """Whether the podgroup is preemptible."""
        return bool(self.snapshot.podgroups.preemptible[gang.podgroup])

    def rank(self, gang: Gang) -> PodGroupRank:
        """Place of the podgroup within its queue."""
        return podgroup_rank(self.snapshot.podgroups, gang)

    def refuse(self, gang: Gang, reason: Reason) -> None:
        """Remember why a podgroup was refused; what its minimum lacks says more than what its growth lacks."""
        self.refusals[gang.podgroup] = reason

    def gangs_in_line(self, action: Action) -> Iterator[Gang]:
        """Podgroups that an action looks at, at most the queue depth per leaf, first in order first.

        Those beyond the depth are refused with a reason that says so.
        """
        depth = self.options.queue_depth.get(action)
        by_queue: dict[int, list[tuple[PodGroupRank, Gang]]] = {}
        for gang in self.gangs.values():
            by_queue.setdefault(self.queue_of(gang), []).append((self.rank(gang), gang))
        for queue in by_queue.values():
            queue.sort(key=lambda entry: entry[0])
            for place, (_, gang) in enumerate(queue, start=1):
                self.position.setdefault(gang.podgroup, place)
                if depth is None or place <= depth:
                    yield gang
                else:
                    self.refuse(gang, Reason(ReasonCode.QUEUE_DEPTH, {"depth": depth, "position": place}))
