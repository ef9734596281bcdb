"""Podgroups that are evicted as one, and those that want something to be free before they start."""

from __future__ import annotations

import pytest

from kai_py.core.invariants import violations
from kai_py.core.result import ReasonCode
from tests.core.builders import Gang, Pod, Queue, Sub, bound, cluster, decide, evicted, nominated, running, waiting

GPU = "nvidia.com/gpu"


def cycle(gangs, *, nodes=None, queues=None, **options):
    snapshot = cluster(nodes=nodes or {"a": 4}, gangs=gangs, queues=queues)
    result = decide(snapshot, **options)
    assert violations(snapshot, result) == ()
    return result


@pytest.mark.parametrize(("whole", "lost"), [(False, {"v-3"}), (True, {"v-0", "v-1", "v-2", "v-3"})])
def test_a_podgroup_that_is_one_victim_gives_no_single_pod(whole, lost):
    elastic = Gang([running("a")] * 4, minimum=1, priority=1, whole=whole)
    result = cycle({"v": elastic, "p": Gang(1, priority=50)})
    assert set(evicted(result)) == lost


def test_a_surplus_elsewhere_goes_before_a_whole_podgroup():
    one = Gang([running("a")] * 3, minimum=1, priority=1, whole=True)
    other = Gang([running("b")] * 3, minimum=1, priority=1)
    result = cycle({"one": one, "other": other, "p": Gang(1, priority=50)}, nodes={"a": 3, "b": 3})
    assert set(evicted(result)) == {"other-2"}


def test_within_its_minimum_run_time_a_whole_podgroup_keeps_everything():
    queues = {"q": Queue(preempt_min_runtime=3600)}
    recent = Gang([running("a")] * 4, minimum=1, priority=1, whole=True, started=999_990.0)
    assert evicted(cycle({"v": recent, "p": Gang(1, priority=50)}, queues=queues)) == {}
    elastic = Gang([running("a")] * 4, minimum=1, priority=1, started=999_990.0)
    assert set(evicted(cycle({"v": elastic, "p": Gang(1, priority=50)}, queues=queues))) == {"v-3"}


def test_its_subgroups_go_together():
    parts = {"x": Sub([running("a")] * 2, 1), "y": Sub([running("b")] * 2, 1)}
    gang = Gang(children=parts, min_subgroups=1, priority=1, whole=True)
    result = cycle({"v": gang, "p": Gang(1, priority=50)}, nodes={"a": 2, "b": 2})
    assert len(evicted(result)) == 4


def test_a_stale_part_ends_without_the_rest():
    """Nobody takes its place: that a part which is optional lacks members is no disruption of the others."""
    parts = {"x": Sub([running("a")], 2), "y": Sub([running("b")] * 2, 1)}
    gang = Gang(children=parts, min_subgroups=1, stale_since=0.0, grace=0.0, whole=True)
    assert set(evicted(cycle({"v": gang}, nodes={"a": 2, "b": 2}))) == {"v-x-0"}


def test_a_gang_waits_until_the_cluster_has_what_it_wants():
    result = cycle({"p": Gang(2, floor=((GPU, 5000),))})
    reason = waiting(result)["p"].reasons[0]
    assert reason.code is ReasonCode.MIN_RESOURCES_MISSING
    assert reason.details == {"resource": GPU, "requested": 5000, "free": 4000}
    assert set(bound(cycle({"p": Gang(2, floor=((GPU, 4000),))}))) == {"p-0", "p-1"}


def test_one_pod_alone_waits_as_well_among_many_of_its_like():
    gangs = {f"p{number}": Gang(1) for number in range(8)}
    gangs["p3"] = Gang(1, floor=((GPU, 99_000),))
    assert set(bound(cycle(gangs, nodes={"a": 16}))) == {f"p{number}-0" for number in range(8)} - {"p3-0"}


def test_what_no_node_has_is_never_there():
    reason = waiting(cycle({"p": Gang(1, floor=(("example.com/nic", 1),))}))["p"].reasons[0]
    assert reason.details == {"resource": "example.com/nic", "requested": 1, "free": 0}


def test_what_the_gang_has_already_counts():
    members = [running("a"), running("a"), Pod()]
    assert set(bound(cycle({"p": Gang(members, minimum=3, floor=((GPU, 4000),))}))) == {"p-2"}
    reason = waiting(cycle({"p": Gang(members, minimum=3, floor=((GPU, 4001),))}))["p"].reasons[0]
    assert reason.code is ReasonCode.MIN_RESOURCES_MISSING


def test_growth_is_not_kept_back():
    members = [running("a"), Pod()]
    assert set(bound(cycle({"p": Gang(members, minimum=1, floor=((GPU, 99_000),))}))) == {"p-1"}


def test_nobody_goes_where_the_floor_would_not_be_reached_all_the_same():
    low = Gang([running("a")] * 2, minimum=0, priority=1)
    firm = Gang([running("a")] * 2, preemptible=False)
    result = cycle({"low": low, "firm": firm, "p": Gang(1, priority=50, floor=((GPU, 3000),))})
    assert evicted(result) == {}
    assert nominated(result) == {}
    result = cycle({"low": low, "firm": firm, "p": Gang(2, priority=50, floor=((GPU, 2000),))})
    assert set(evicted(result)) == {"low-0", "low-1"}
    assert set(nominated(result)) == {"p-0", "p-1"}
