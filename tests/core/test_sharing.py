"""Parts of GPUs: whole devices opened and closed, nobody beyond a device's memory, and everything undone exactly."""

import pytest

from kai_py.core.options import Action, Options, Strategy
from kai_py.core.result import Bind, ReasonCode
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.devices import MILLION, Share
from kai_py.core.tables.pods import PodState
from tests.core.builders import (
    AXIS,
    GPUS,
    Gang,
    Node,
    Pod,
    Queue,
    bound,
    cluster,
    decide,
    evicted,
    moved,
    nominated,
    running,
    sharing,
    waiting,
)

GPU = AXIS.index["nvidia.com/gpu"]


def begin(**what):
    snapshot = cluster(**what)
    transaction = Transaction(Ledger(snapshot))
    return transaction, transaction.ledger, {key.name: row for row, key in enumerate(snapshot.pods.keys)}


def groups(result):
    return {one.pod.removeprefix("ns/"): one.gpu_groups for one in result.decisions if isinstance(one, Bind)}


# -- the ledger ------------------------------------------------------------------------------------


def test_pods_on_one_device_take_one_whole_device_together():
    _, ledger, _ = begin(
        nodes={"a": 4},
        gangs={"g": Gang([sharing(0.5, "x", on="a"), sharing(0.3, "x", on="a"), sharing(0.3, "y", on="a")])},
    )
    assert ledger.free[0, GPU] == 2000
    assert ledger.queue_allocated[0, GPUS] == 1100


def test_the_last_pod_that_leaves_a_device_gives_back_the_whole_device():
    transaction, ledger, pods = begin(
        nodes={"a": 1}, gangs={"g": Gang([sharing(0.5, "x", on="a"), sharing(0.3, "x", on="a")])}
    )
    transaction.evict(pods["g-0"], action=Action.PREEMPT, preemptor=-1)
    assert (ledger.free[0, GPU], ledger.releasing[0, GPU]) == (0, 0)
    transaction.evict(pods["g-1"], action=Action.PREEMPT, preemptor=-1)
    assert (ledger.free[0, GPU], ledger.releasing[0, GPU]) == (0, 1000)


def test_a_leaving_pod_holds_its_device_until_it_is_gone():
    _, ledger, _ = begin(nodes={"a": 1}, gangs={"g": Gang([sharing(0.5, "x", on="a", state=PodState.RELEASING)])})
    assert (ledger.free[0, GPU], ledger.releasing[0, GPU]) == (0, 1000)


def test_a_pod_on_several_devices_opens_all_of_them():
    transaction, ledger, pods = begin(nodes={"a": 4}, gangs={"g": Gang([sharing(0.5, devices=2)])})
    transaction.place(pods["g-0"], 0, action=Action.ALLOCATE, devices=("x", "y"))
    assert ledger.free[0, GPU] == 2000
    transaction.rollback(0)
    assert ledger.free[0, GPU] == 4000
    assert ledger.devices.taken == {}


def test_a_fraction_of_any_device_is_exact():
    share = Share(millionths=333_333)
    assert 3 * share.amount(81_500) <= 81_500 * MILLION
    assert share.portion(81_500) == 333


@pytest.mark.parametrize(("memory", "portion"), [(50, 500), (33, 330), (1, 10), (100, 1000)])
def test_memory_is_charged_in_hundredths_of_a_device_rounded_up(memory, portion):
    assert Share(memory=memory).portion(100) == portion
    assert Share(memory=memory * 10 - 9).portion(1000) == portion


# -- where they go ---------------------------------------------------------------------------------


def test_a_share_goes_to_the_fullest_device_that_has_room():
    result = decide(
        cluster(
            nodes={"a": 4},
            gangs={"old": Gang([sharing(0.3, "x", on="a"), sharing(0.6, "y", on="a")]), "new": Gang([sharing(0.4)])},
        )
    )
    assert groups(result) == {"new-0": ("y",)}


def test_spreading_takes_a_device_that_nobody_shares():
    result = decide(
        cluster(nodes={"a": 4}, gangs={"old": Gang([sharing(0.3, "x", on="a")]), "new": Gang([sharing(0.4)])}),
        gpu=Strategy.SPREAD,
    )
    assert groups(result)["new-0"] != ("x",)


def test_a_node_with_a_shared_device_comes_before_one_without():
    gangs = {"old": Gang([sharing(0.3, "x", on="b")]), "new": Gang([sharing(0.4)])}
    assert bound(decide(cluster(nodes={"a": 2, "b": 4}, gangs=gangs))) == {"new-0": "b"}


def test_shares_that_do_not_fit_on_one_device_get_two():
    result = decide(cluster(nodes={"a": 2}, gangs={"new": Gang([sharing(0.6), sharing(0.6)])}))
    assert len(set(groups(result).values())) == 2


def test_shares_that_fit_on_one_device_get_one():
    result = decide(cluster(nodes={"a": 2}, gangs={"new": Gang([sharing(0.5), sharing(0.5)])}))
    assert len(set(groups(result).values())) == 1


def test_a_whole_gpu_is_not_one_that_is_shared():
    result = decide(cluster(nodes={"a": 1}, gangs={"old": Gang([sharing(0.1, "x", on="a")]), "new": Gang([Pod(1)])}))
    assert bound(result) == {}
    assert waiting(result)["new"].reasons[0].code is ReasonCode.UNSCHEDULABLE


def test_more_memory_than_any_device_has_finds_no_place_and_says_what_is_lacking():
    result = decide(cluster(nodes={"a": 4}, gangs={"new": Gang([sharing(memory=101)])}))
    reason = waiting(result)["new"].reasons[0]
    assert dict(reason.nodes) == {"InsufficientResources": 1}
    assert "nvidia.com/gpu" in reason.shortages


def test_nobody_is_promised_memory_of_devices_that_do_not_say_how_much_they_have():
    nodes = {"a": Node(4, gpu_memory=0)}
    assert bound(decide(cluster(nodes=nodes, gangs={"new": Gang([sharing(memory=1)])}))) == {}
    assert bound(decide(cluster(nodes=nodes, gangs={"new": Gang([sharing(0.5)])}))) == {"new-0": "a"}


def test_a_share_waits_for_one_that_is_leaving():
    gangs = {
        "old": Gang([sharing(0.7, "x", on="a", state=PodState.RELEASING)], minimum=0),
        "new": Gang([sharing(0.6)]),
    }
    assert nominated(decide(cluster(nodes={"a": 1}, gangs=gangs))) == {"new-0": "a"}


def test_a_queue_at_its_limit_gets_no_further_share():
    gangs = {"old": Gang([sharing(0.5, "x", on="a")]), "new": Gang([sharing(0.6)])}
    result = decide(cluster(nodes={"a": 4}, queues={"q": Queue(limit=1)}, gangs=gangs))
    assert waiting(result)["new"].reasons[0].code is ReasonCode.OVER_LIMIT


# -- who has to make room --------------------------------------------------------------------------


def test_only_as_many_leave_a_device_as_have_to():
    gangs = {
        "low": Gang([sharing(0.5, "x", on="a")], priority=40),
        "mid": Gang([sharing(0.3, "x", on="a")], priority=50),
        "new": Gang([sharing(0.6)], priority=100),
    }
    result = decide(cluster(nodes={"a": 1}, gangs=gangs))
    assert (list(evicted(result)), nominated(result)) == (["low-0"], {"new-0": "a"})


def test_all_leave_a_device_that_is_needed_whole():
    gangs = {
        "low": Gang([sharing(0.5, "x", on="a")], priority=40),
        "mid": Gang([sharing(0.3, "x", on="a")], priority=50),
        "new": Gang([Pod(1)], priority=100),
    }
    assert sorted(evicted(decide(cluster(nodes={"a": 1}, gangs=gangs)))) == ["low-0", "mid-0"]


def test_a_whole_gpu_is_taken_from_one_rather_than_from_two_that_share():
    gangs = {
        "pair": Gang([sharing(0.5, "x", on="a")], priority=50),
        "twin": Gang([sharing(0.5, "x", on="a")], priority=50),
        "alone": Gang([running("a", 1)], priority=50),
        "new": Gang([Pod(1)], priority=100),
    }
    assert list(evicted(decide(cluster(nodes={"a": 2}, gangs=gangs)))) == ["alone-0"]


def test_shares_are_moved_together_to_make_a_device_whole():
    gangs = {
        "one": Gang([sharing(0.5, "x", on="a")]),
        "two": Gang([sharing(0.4, "y", on="b")]),
        "new": Gang([Pod(1)]),
    }
    result = decide(cluster(nodes={"a": 1, "b": 1}, gangs=gangs))
    assert nominated(result) == {"new-0": "b", "two-0": "a"}


def test_a_share_that_moves_to_another_device_of_its_node_is_evicted_there():
    gangs = {
        "one": Gang([sharing(0.5, "x", on="a")]),
        "two": Gang([sharing(0.5, "y", on="a")]),
        "new": Gang([Pod(1)]),
    }
    result = decide(cluster(nodes={"a": 2}, gangs=gangs))
    assert list(moved(result).values()) == ["a"]
    assert evicted(result) == {}


def test_without_the_weight_of_sharing_packing_decides():
    gangs = {"old": Gang([sharing(0.3, "x", on="b")]), "new": Gang([sharing(0.4)])}
    weights = {**Options().weights, "sharing": 0.0, "packing": 9.0}
    assert bound(decide(cluster(nodes={"a": 1, "b": 4}, gangs=gangs), weights=weights)) == {"new-0": "a"}
