"""The fewest pods that have to be ended so that one gang of equal pods fits: by trying every combination.

GPUs only, queues without parents, nobody moves. Written from the rules, not from the search.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from kai_py.core.tables.pods import PodState
from kai_py.core.tables.snapshot import Snapshot
from kai_py.core.victims.chunks import Chunk

GPUS = 2


@dataclass(frozen=True)
class Case:
    """One gang that waits, and what runs.

    Attributes:
        snapshot: flat queues, pods that ask for GPUs only.
        shares: ``(Q,)`` fair share of GPUs, base units.
    """

    snapshot: Snapshot
    shares: Sequence[float]

    @property
    def waits(self) -> list[int]:
        """Rows of the pods that wait."""
        return [row for row, state in enumerate(self.snapshot.pods.state) if state == PodState.PENDING]

    @property
    def preemptor(self) -> int:
        """Row of the podgroup that waits."""
        return self.group_of(self.waits[0])

    def group_of(self, pod: int) -> int:
        """Row of a pod's podgroup."""
        return int(self.snapshot.subgroups.podgroup_idx[self.snapshot.pods.subgroup_idx[pod]])

    def size(self, pod: int) -> int:
        """GPUs of a pod, base units."""
        return int(self.snapshot.classes.accounted[self.snapshot.pods.class_idx[pod], GPUS])


def fewest(case: Case, pieces: Sequence[Chunk], *, reclaim: bool) -> int | None:
    """The least number of pods that have to be ended; None if nothing helps.

    Args:
        case: what runs and what waits.
        pieces: of podgroups that may be asked.
        reclaim: whether queues are protected by what they are entitled to.
    """
    found = [
        sum(len(chunk.pods) for chunk in lost)
        for lost in _combinations(case, pieces)
        if _fits(case, lost) and (not reclaim or _fair(case, lost))
    ]
    return min(found, default=None)


def _combinations(case: Case, pieces: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """As many pods of every podgroup as it has pieces beyond its minimum, no matter which, or all of them."""
    by_group: dict[int, list[Chunk]] = {}
    for piece in pieces:
        by_group.setdefault(piece.podgroup, []).append(piece)
    options = []
    for podgroup, chunks in by_group.items():
        surplus = sum(not chunk.core for chunk in chunks)
        pods = [pod for pod, node in enumerate(case.snapshot.pods.node_idx.tolist()) if node >= 0]
        mine = [_one(case, pod) for pod in pods if case.group_of(pod) == podgroup]
        choices = [list(some) for count in range(surplus + 1) for some in combinations(mine, count)]
        options.append([*choices, *([chunks] if surplus < len(chunks) else [])])
    for choice in product(*options):
        yield [chunk for chunks in choice for chunk in chunks]


def _one(case: Case, pod: int) -> Chunk:
    """One pod that goes alone."""
    cost = case.snapshot.classes.costs[case.snapshot.pods.class_idx[pod]]
    return Chunk(case.group_of(pod), (pod,), cost, core=False)


def _fits(case: Case, lost: Sequence[Chunk]) -> bool:
    snapshot = case.snapshot
    gone = {pod for chunk in lost for pod in chunk.pods}
    free = snapshot.nodes.allocatable[:, 3].astype(int)
    for pod, node in enumerate(snapshot.pods.node_idx.tolist()):
        if node >= 0 and pod not in gone:
            free[node] -= case.size(pod)
    asked = case.size(case.waits[0])
    return int((free // asked).clip(min=0).sum()) >= len(case.waits)


def _fair(case: Case, lost: Sequence[Chunk]) -> bool:
    """In some order, every piece comes from a queue that is still above what it is entitled to."""
    queues, of = case.snapshot.queues, case.snapshot.podgroups.queue_idx
    mine = int(of[case.preemptor])
    held = [0] * len(queues)
    for pod, node in enumerate(case.snapshot.pods.node_idx.tolist()):
        if node >= 0:
            held[int(of[case.group_of(pod)])] += case.size(pod)
    cost = sum(case.size(pod) for pod in case.waits)
    if held[mine] + cost > case.shares[mine]:
        return False
    within_quota = held[mine] + cost <= queues.quota[mine, GPUS]
    for queue in {int(of[chunk.podgroup]) for chunk in lost}:
        last: dict[int, int] = {}
        for chunk in lost:
            if of[chunk.podgroup] == queue:
                last[chunk.podgroup] = chunk.cost[GPUS]
        taken = sum(chunk.cost[GPUS] for chunk in lost if of[chunk.podgroup] == queue)
        before_last = held[queue] - taken + max(last.values())
        entitled = max(queues.quota[queue, GPUS], case.shares[queue])
        if before_last <= (queues.quota[queue, GPUS] if within_quota else entitled):
            return False
    return True
