"""Which of two siblings is served first: the rules one by one, each where all before it are silent."""

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.queues.line import Line
from kai_py.core.queues.service import Ranker
from kai_py.core.state.ledger import Ledger
from tests.core.builders import GIB, Gang, Node, Pod, Queue, cluster

#: A third resource in which nobody is ever over its fair share.
AMPLE = 1e15


def first(left, right, *, fair=(8, 8), holds=(0, 0), asks=(1, 1), total=64):
    """Name of the queue that is served first; numbers are GPUs, nobody asks for cpu or memory."""
    gangs = {
        f"runs-{name}": Gang([Pod(gpus, on="n")], queue=name) for name, gpus in zip("lr", holds, strict=True) if gpus
    }
    snapshot = cluster(nodes={"n": 64}, queues={"l": left, "r": right}, gangs=gangs)
    shares = np.array([[AMPLE, AMPLE, gpus * 1000] for gpus in fair], dtype=np.float64)
    ranker = Ranker(Ledger(snapshot), shares, np.array([AMPLE, AMPLE, total * 1000]))
    ranks = [ranker.rank(row, (0, 0, asks[row] * 1000)) for row in (0, 1)]
    assert ranks[0] != ranks[1]
    return "l" if ranks[0] < ranks[1] else "r"


def test_a_queue_over_its_fair_share_in_everything_goes_last():
    everything = Pod(8, cpu=8, memory=8, on="n")
    snapshot = cluster(
        nodes={"n": 64},
        queues={"l": Queue(quota=20, priority=900), "r": Queue(quota=0)},
        gangs={"runs": Gang([everything], queue="l")},
    )
    shares = np.array([[4000.0, 4 * GIB, 4000.0]] * 2)
    ranker = Ranker(Ledger(snapshot), shares, np.array([AMPLE] * 3))
    assert ranker.rank(1, (0, 0, 1000)) < ranker.rank(0, (0, 0, 1000))


def test_a_queue_over_its_fair_share_in_one_resource_only_is_not_over_it():
    assert first(Queue(quota=20), Queue(quota=0), fair=(1, 8), holds=(2, 0)) == "l"


def test_a_queue_that_stays_below_its_quota_goes_before_one_that_does_not():
    assert first(Queue(quota=0, priority=900), Queue(quota=4)) == "r"


def test_what_the_podgroup_asks_for_counts_towards_the_quota():
    assert first(Queue(quota=4), Queue(quota=4), holds=(3, 0), asks=(2, 2)) == "r"
    assert first(Queue(quota=4, created=0), Queue(quota=4, created=1), holds=(2, 2), asks=(2, 2)) == "l"


def test_a_higher_priority_goes_first_when_both_are_below_quota():
    assert first(Queue(quota=8), Queue(quota=8, priority=200)) == "r"


def test_a_queue_that_is_entitled_to_none_of_what_it_asks_for_goes_last():
    assert first(Queue(quota=0), Queue(quota=0), fair=(0, 0.001), holds=(0, 6)) == "r"


def test_the_smaller_dominant_share_goes_first():
    assert first(Queue(quota=8), Queue(quota=8), holds=(3, 1)) == "r"


def test_the_dominant_share_includes_what_is_asked_for():
    assert first(Queue(quota=8), Queue(quota=8), holds=(1, 2), asks=(4, 2)) == "r"


def test_the_dominant_share_is_of_what_the_queue_is_entitled_to():
    assert first(Queue(quota=8), Queue(quota=16), fair=(8, 16), holds=(3, 5)) == "r"


def test_a_queue_without_limit_and_with_unlimited_quota_is_measured_by_the_whole_cluster():
    assert first(Queue(), Queue(quota=20), fair=(20, 20), holds=(9, 9), total=64) == "l"


def test_a_queue_that_is_entitled_to_nothing_weighs_a_thousandfold():
    assert first(Queue(quota=0), Queue(quota=0), fair=(0, 0), holds=(3, 2)) == "r"


def test_the_dominant_share_without_what_is_asked_for_breaks_the_tie():
    assert first(Queue(quota=8), Queue(quota=8), holds=(3, 2), asks=(2, 3)) == "r"


def test_between_level_queues_the_one_that_is_entitled_to_less_goes_first():
    assert first(Queue(quota=16), Queue(quota=8), fair=(0, 0), holds=(4, 2), asks=(4, 2)) == "r"


def test_between_equal_queues_the_older_goes_first():
    assert first(Queue(created=2), Queue(created=1)) == "r"


def test_ranks_follow_what_is_allocated_meanwhile():
    ledger = Ledger(cluster(nodes={"n": 8}, queues={"l": Queue(quota=8), "r": Queue(quota=8)}))
    ranker = Ranker(ledger, np.full((2, 3), AMPLE), np.full(3, AMPLE))
    before = ranker.rank(0, (0, 0, 1000)) < ranker.rank(1, (0, 0, 1000))
    ledger.queue_allocated[0] += [0, 0, 4000]
    assert before
    assert ranker.rank(1, (0, 0, 1000)) < ranker.rank(0, (0, 0, 1000))


class Waiting(NamedTuple):
    """Somebody in line who asks for one GPU."""

    queue: int
    rank: tuple[int, int, float, str, int]
    cost: tuple[int, ...] = (0, 0, 1000)


def waits(queue, number, stage=0):
    return Waiting(queue, (0, stage, float(number), "", number))


class Serving:
    """A line over a queue tree in which every podgroup costs one GPU or as many as it says, charged when served."""

    def __init__(self, queues, waiting, costs=None):
        self.snapshot = cluster(nodes={"n": 64}, queues=queues)
        self.ledger = Ledger(self.snapshot)
        table = self.snapshot.queues
        self.row = {name: row for row, name in enumerate(table.names)}
        ranker = Ranker(self.ledger, np.full((len(table), 3), AMPLE), np.full(3, 64000.0))
        by_queue = {}
        for number, queue in enumerate(waiting):
            one = waits(self.row[queue], number)._replace(cost=(0, 0, 1000 * (costs[number] if costs else 1)))
            by_queue.setdefault(self.row[queue], []).append(one)
        self.line = Line(table, ranker, by_queue)

    def serve(self, count=100, *, granted=True):
        served = []
        while len(served) < count and (one := self.line.pop()) is not None:
            served.append(self.snapshot.queues.names[one.queue])
            if granted:
                for row in self.snapshot.queues.paths[one.queue]:
                    self.ledger.queue_allocated[row] += one.cost
        return served


def test_an_empty_line_has_nobody_to_serve():
    assert Serving({"q": Queue()}, []).serve() == []


def test_equal_queues_are_served_in_turn():
    line = Serving({"a": Queue(quota=8), "b": Queue(quota=8)}, ["a"] * 3 + ["b"] * 3)
    assert line.serve() == ["a", "b", "a", "b", "a", "b"]


def test_a_refused_podgroup_does_not_cost_its_queue_its_turn():
    line = Serving({"a": Queue(quota=8), "b": Queue(quota=8)}, ["a"] * 2 + ["b"] * 2)
    assert line.serve(granted=False) == ["a", "a", "b", "b"]


def test_parents_take_turns_before_their_children_do():
    queues = {
        "p": Queue(quota=8),
        "r": Queue(quota=8),
        "p1": Queue("p", quota=8),
        "p2": Queue("p", quota=8),
        "r1": Queue("r", quota=8),
    }
    line = Serving(queues, ["p1", "p1", "p2", "p2", "r1", "r1", "r1", "r1"])
    assert line.serve() == ["p1", "r1", "p2", "r1", "p1", "r1", "p2", "r1"]


def test_a_parent_stands_for_the_podgroup_that_it_would_serve_next_from_the_start():
    queues = {"p": Queue(quota=2), "r": Queue(quota=2), "p1": Queue("p", quota=8), "p2": Queue("p", quota=2)}
    line = Serving(queues, ["p1", "p2", "r"], costs=[1, 4, 1])
    assert line.serve(1) == ["p1"]


def test_a_branch_without_podgroups_is_passed_over():
    queues = {"p": Queue(), "p1": Queue("p"), "r": Queue(), "r1": Queue("r"), "r2": Queue("r")}
    assert Serving(queues, ["r2", "r2"]).serve() == ["r2", "r2"]


def test_leaves_at_different_depths_stand_in_one_line():
    queues = {"top": Queue(quota=8), "p": Queue(quota=8), "deep": Queue("p", quota=8), "deeper": Queue("deep", quota=8)}
    assert Serving(queues, ["top", "deeper", "top", "deeper"]).serve() == ["top", "deeper", "top", "deeper"]


def test_a_podgroup_that_is_pushed_back_is_served_again_when_its_turn_comes():
    line = Serving({"a": Queue(quota=8), "b": Queue(quota=8)}, ["a", "b"])
    assert line.serve(1) == ["a"]
    line.line.push(waits(line.row["a"], 0, stage=2))
    assert line.serve() == ["b", "a"]


#: Positions of those who come back after each was served, by who was served: they go where their new rank is.
comings = st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=9)


@given(st.integers(0, 6), comings)
def test_within_a_queue_the_smallest_rank_is_served_first(count, comings):
    snapshot = cluster(nodes={"n": Node()}, queues={"q": Queue()})
    ranker = Ranker(Ledger(snapshot), np.zeros((1, 3)), np.ones(3))
    waiting = [waits(0, 2 * number) for number in range(count)]
    line = Line(snapshot.queues, ranker, {0: waiting})
    for coming in [*comings, *[None] * (count + len(comings))]:
        served = line.pop()
        assert served == min(waiting, default=None)
        if served is None:
            break
        waiting.remove(served)
        if coming is not None and all(one.rank[-1] != 2 * coming + 1 for one in waiting):
            waiting.append(waits(0, 2 * coming + 1))
            line.push(waiting[-1])
