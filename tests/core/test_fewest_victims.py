"""How many victims there are, against the fewest that would have done."""

from random import Random

import pytest

from kai_py.core.gangs.members import Members
from kai_py.core.invariants import violations
from kai_py.core.options import Action, Options
from kai_py.core.queues.service import Ranker
from kai_py.core.state.ledger import Ledger
from kai_py.core.victims.candidates import LeafLine, Pool, VictimLine
from kai_py.core.victims.chunks import Running
from kai_py.core.victims.costs import Costs
from tests.core.builders import Gang, Pod, Queue, cluster, decide, evicted, nominated, running
from tests.reference.victims import GPUS, Case, fewest

CLUSTERS = 400


def random_cluster(seed):
    """Two to four nodes, at most eight running pods in podgroups of one to three, and one gang that waits."""
    random = Random(seed)  # for variety, not for secrets
    free = {name: random.choice([2, 4, 4]) for name in "abcd"[: random.randint(2, 4)]}
    nodes, gangs, left = dict(free), {}, 8
    while left > 0 and any(free.values()) and len(gangs) < 6:
        size, count = random.choice([1, 1, 2]), random.randint(1, min(3, left))
        pods = []
        for _ in range(count):
            roomy = [name for name, room in free.items() if room >= size]
            if roomy:
                name = random.choice(roomy)
                free[name] -= size
                pods.append(running(name, size))
        if not pods:
            break
        left -= len(pods)
        gangs[f"r{len(gangs)}"] = Gang(
            pods,
            minimum=random.choice([len(pods), 1, 0]),
            queue=random.choice(["x", "x", "y", "z"]),
            priority=random.choice([10, 20]),
            preemptible=random.random() < 0.9,
        )
    ask = random.choice([1, 2, 2, 4])
    gangs["p"] = Gang([Pod(ask)] * random.choice([1, 1, 2, 3]), queue="y", priority=50)
    queues = {
        "x": Queue(quota=random.choice([0, 1, 2])),
        "y": Queue(quota=random.choice([4, 6, 8, 0])),
        "z": Queue(quota=random.choice([0, 2])),
    }
    return cluster(nodes=nodes, queues=queues, gangs=gangs)


def in_line(snapshot, shares, action):
    """The pieces that may be taken, in the order in which they are considered."""
    ledger, table = Ledger(snapshot), snapshot.podgroups
    mine = table.keys.index(("ns", "p", "p"))
    queue, priority = table.queue_idx.item(mine), table.priority.item(mine)
    pool = Pool(ledger, Running(ledger, Members(snapshot)), Costs(snapshot, Options()))
    if action is Action.PREEMPT:
        return list(LeafLine(pool, queue, eligible=lambda row: table.priority.item(row) < priority))
    ranker = Ranker(ledger, shares, ledger.free.sum(axis=0) @ snapshot.axis.accounting.astype(float))
    leaves = {leaf: LeafLine(pool, leaf) for leaf in pool.queues if leaf != queue}
    return list(VictimLine(snapshot.queues, ledger.queue_allocated, ranker, leaves))


def compared(action, *, least_important=True):
    """(our victims, the fewest) wherever somebody has to go; None where we, or the reference, find nobody.

    The least important have to go first: the fewest are sought among the first in line that are enough. Without that,
    among all.
    """
    for seed in range(CLUSTERS):
        snapshot = random_cluster(seed)
        result = decide(snapshot, actions=(Action.ALLOCATE, action))
        assert violations(snapshot, result) == ()
        if decide(snapshot, actions=(Action.ALLOCATE,)).decisions:
            continue
        shares = result.shares.fair_share
        case, pieces = Case(snapshot, shares[:, GPUS].tolist()), in_line(snapshot, shares, action)
        counts = range(1, len(pieces) + 1) if least_important else [len(pieces)]
        tries = (fewest(case, pieces[:count], reclaim=action is Action.RECLAIM) for count in counts)
        least = next((found for found in tries if found is not None), None)
        ours = len(evicted(result)) if nominated(result) else None
        if ours is not None or least is not None:
            yield ours, least


@pytest.mark.parametrize("least_important", [True, False])
@pytest.mark.parametrize("action", [Action.RECLAIM, Action.PREEMPT])
def test_hardly_ever_does_anybody_go_who_could_have_stayed(action, least_important):
    """The fewest among the first in line, and the fewest of all: whoever is less important goes first even so."""
    pairs = compared(action, least_important=least_important)
    sizes = [(ours, least) for ours, least in pairs if ours is not None and least is not None]
    assert len(sizes) > 50
    assert sum(ours <= least for ours, least in sizes) >= 0.95 * len(sizes)
    assert sum(ours for ours, _ in sizes) <= sum(least for _, least in sizes)  # because some move instead


@pytest.mark.parametrize("action", [Action.RECLAIM, Action.PREEMPT])
def test_where_victims_would_help_they_are_found(action):
    assert [least for ours, least in compared(action) if ours is None] == []


def report():
    """Print the numbers that docs/benchmarks.md cites: ``python -m tests.core.test_fewest_victims``."""
    for action in (Action.RECLAIM, Action.PREEMPT):
        pairs = compared(action, least_important=False)
        sizes = [(ours, least) for ours, least in pairs if ours is not None and least is not None]
        most = sum(ours <= least for ours, least in sizes) / len(sizes)
        ratio = sum(ours for ours, _ in sizes) / sum(least for _, least in sizes)
        print(f"{action}: {len(sizes)} clusters, {most:.1%} with the fewest, {ratio:.2f} of the fewest on average")


if __name__ == "__main__":
    report()
