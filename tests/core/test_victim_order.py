"""What is taken from a running podgroup, piece by piece, and whose pieces come first."""

import pytest

from kai_py.core.gangs.members import Members
from kai_py.core.options import Action, Options
from kai_py.core.queues.service import Ranker
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.victims.candidates import LeafLine, Pool, VictimLine
from kai_py.core.victims.chunks import Running
from kai_py.core.victims.costs import Costs
from tests.core.builders import Gang, Pod, Queue, Sub, cluster, running


def on(count, gpus=1, **what):
    return [running("a", gpus, **what)] * count


def pieces(gang):
    """The names of the pods of each piece of one podgroup, with * where it is the core."""
    snapshot = cluster(nodes={"a": 64}, gangs={"g": gang})
    found = Running(Ledger(snapshot), Members(snapshot)).chunks(0)
    names = [[snapshot.pods.keys[pod].name.removeprefix("g-") for pod in chunk.pods] for chunk in found]
    cores = [chunk.core for chunk in Running(Ledger(snapshot), Members(snapshot)).chunks(0)]
    return [("*" if core else "") + " ".join(sorted(pods)) for pods, core in zip(names, cores, strict=True)]


def test_a_surplus_goes_pod_by_pod_and_the_core_as_one():
    assert pieces(Gang(on(8), minimum=4)) == ["7", "6", "5", "4", "*0 1 2 3"]


def test_a_gang_without_a_surplus_goes_whole():
    assert pieces(Gang(on(3))) == ["*0 1 2"]


def test_without_a_minimum_every_pod_goes_by_itself():
    assert pieces(Gang(on(3), minimum=0)) == ["2", "1", "0"]


def test_pods_go_in_the_reverse_of_the_order_in_which_they_came():
    gang = Gang([running("a", task_priority=number) for number in (1, 3, 2)], minimum=0)
    assert pieces(gang) == ["0", "2", "1"]


def test_pods_that_wait_or_leave_are_not_among_the_pieces():
    gang = Gang([*on(2), Pod()], minimum=1)
    assert pieces(gang) == ["1", "*0"]


def test_a_subgroup_gives_its_own_surplus_first_the_most_grown_one_before_others():
    gang = Gang(children={"x": Sub(on(2), minimum=1), "y": Sub(on(3), minimum=1)})
    assert pieces(gang) == ["y-2", "y-1", "x-1", "*x-0 y-0"]


def test_a_subgroup_beyond_those_that_are_needed_goes_whole():
    gang = Gang(children={"x": Sub(on(2)), "y": Sub(on(2)), "z": Sub(on(2))}, min_subgroups=1)
    assert pieces(gang) == ["z-0 z-1", "y-0 y-1", "*x-0 x-1"]


def test_inner_subgroups_shrink_in_the_same_way():
    inner = Sub(children={"x": Sub(on(1)), "y": Sub(on(1))}, min_subgroups=1)
    assert pieces(Gang(children={"m": inner, "n": Sub(on(1))})) == ["m-y-0", "*m-x-0 n-0"]


def line(queues=None, shares=None, **gangs):
    """The pieces of all podgroups in the order in which they are taken, over all queues."""
    snapshot = cluster(nodes={"a": 64}, queues=queues, gangs=gangs)
    ledger = Ledger(snapshot)
    pool = Pool(ledger, Running(ledger, Members(snapshot)), Costs(snapshot, Options()))
    fair = snapshot.queues.quota if shares is None else shares
    ranker = Ranker(ledger, fair, ledger.free.sum(axis=0) @ snapshot.axis.accounting.astype(float))
    leaves = {queue: LeafLine(pool, queue) for queue in pool.queues}
    found = VictimLine(snapshot.queues, ledger.queue_allocated, ranker, leaves)
    return [" ".join(sorted(snapshot.pods.keys[pod].name for pod in chunk.pods)) for chunk in found]


def test_the_least_important_podgroup_goes_first_and_the_youngest_among_equals():
    gangs = {"old": Gang(on(1)), "young": Gang(on(1)), "low": Gang(on(1), priority=10, created=-5)}
    assert line(**gangs) == ["low-0", "young-0", "old-0"]


def test_who_has_a_surplus_gives_it_before_others_lose_their_core():
    gangs = {"elastic": Gang(on(3), minimum=1), "young": Gang(on(1))}
    assert line(**gangs) == ["elastic-2", "elastic-1", "young-0", "elastic-0"]


def test_what_cannot_be_preempted_is_in_no_line():
    assert line(firm=Gang(on(1), preemptible=False), soft=Gang(on(1))) == ["soft-0"]


def test_the_most_over_served_queue_gives_first_and_the_order_follows_what_is_left():
    queues = {"rich": Queue(quota=1), "poor": Queue(quota=1)}
    gangs = {"r": Gang(on(4), minimum=0, queue="rich"), "p": Gang(on(2), minimum=0, queue="poor")}
    taken = line(queues, **gangs)
    assert taken[:2] == ["r-3", "r-2"]  # four against two
    assert sorted(taken[2:4]) == ["p-1", "r-1"]  # two against two
    assert sorted(taken[4:]) == ["p-0", "r-0"]


def test_departments_are_compared_before_their_teams():
    queues = {
        "x": Queue(quota=8),
        "y": Queue(quota=2),
        "x1": Queue("x", quota=1),
        "y1": Queue("y", quota=2),
    }
    gangs = {"in-x": Gang(on(6), minimum=0, queue="x1"), "in-y": Gang(on(3), minimum=0, queue="y1")}
    assert line(queues, **gangs)[0] == "in-y-2"  # x1 is six times beyond its quota, but x is within its own


def test_a_podgroup_that_lost_a_piece_stands_in_line_anew():
    snapshot = cluster(nodes={"a": 64}, gangs={"g": Gang(on(3), minimum=1), "h": Gang(on(2), minimum=1)})
    ledger = Ledger(snapshot)
    pool = Pool(ledger, Running(ledger, Members(snapshot)), Costs(snapshot, Options()))
    first = LeafLine(pool, 0).pop()
    transaction = Transaction(ledger)
    for pod in first.pods:
        transaction.evict(pod, action=Action.PREEMPT, preemptor=0)
    pool.touch({first.podgroup})
    names = [snapshot.pods.keys[chunk.pods[0]].name for chunk in LeafLine(pool, 0)]
    assert snapshot.pods.keys[first.pods[0]].name == "h-1"
    assert names == ["g-2", "g-1", "h-0", "g-0"]


@pytest.mark.parametrize("minimum", [0, 1, 3])
def test_all_pieces_together_are_the_podgroup(minimum):
    assert sorted(" ".join(pieces(Gang(on(3), minimum=minimum))).replace("*", "").split()) == ["0", "1", "2"]
