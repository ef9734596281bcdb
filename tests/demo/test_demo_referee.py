"""The referee finds what it is there to find: each rule is broken once."""

from __future__ import annotations

import pytest

from kai_py.api.decode import convert
from kai_py.cli.demo.referee import SETTLED, TOLD, Referee
from kai_py.cli.demo.teams import Queue
from kai_py.cli.demo.workload import WORKLOAD_LABEL, Kind, Workload
from kai_py.cli.demo.world import CLAIMS, NODES, PODGROUPS, PODS, SLICES, Thing, World

GPU = "nvidia.com/gpu"
QUEUES = (Queue("labs", "", 8, -1, 1), Queue("research", "labs", 4, 6, 1))
CAST = {
    "pods": Workload(name="pods", team="research", pods=4, gpus=1),
    "gang": Workload(name="gang", team="research", pods=2, gpus=1, kind=Kind.GANG),
}
EVICTED = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
TOLD_WHY = {"type": "PodScheduled", "status": "False", "message": "No node has room. [PodSchedulingErrors]"}


def pod(name, *, on="", gpus=1, uid="", phase="Pending", workload="pods", queue="research", group="", conditions=()):
    labels = {WORKLOAD_LABEL: workload} | ({"kai.scheduler/queue": queue} if queue else {})
    annotations = {"pod-group-name": group} if group else {}
    meta = {"name": name, "namespace": "ns", "uid": uid or name, "labels": labels, "annotations": annotations}
    scheduler = "kai-scheduler" if queue else "another"
    spec = {
        "nodeName": on,
        "schedulerName": scheduler,
        "containers": [{"name": "c", "resources": {"requests": {GPU: str(gpus)}}}],
    }
    return convert(Thing, {"metadata": meta, "spec": spec, "status": {"phase": phase, "conditions": list(conditions)}})


def podgroup(name, *conditions):
    meta = {"name": name, "namespace": "ns", "uid": name}
    return convert(Thing, {"metadata": meta, "status": {"schedulingConditions": list(conditions)}})


@pytest.fixture
def world():
    made = World(client=None)
    for name in ("a", "b"):
        node = {"metadata": {"name": name}, "status": {"allocatable": {GPU: "4", "pods": "10"}}}
        made.apply(NODES, [("ADDED", convert(Thing, node))])
    return made


@pytest.fixture
def referee(world):
    return Referee(world, QUEUES, CAST, clock=lambda: 0.0)


def see(world, *pods, event="MODIFIED"):
    world.apply(PODS, [(event, one) for one in pods])


def test_a_history_without_faults_has_none(world, referee):
    see(world, pod("one"), pod("one", on="a", phase="Running"), pod("one", on="a", phase="Succeeded"))
    referee.tick()
    referee.close()
    assert referee.faults == ()
    assert referee.numbers.bound == 1


def test_a_node_that_is_given_more_than_it_has_is_overcommitted(world, referee):
    see(world, pod("one", on="a", gpus=3), pod("two", on="a", gpus=2))
    assert referee.faults == ("node a was overcommitted: 5 nvidia.com/gpu of 4",)


def test_what_a_finished_pod_held_is_free_again(world, referee):
    see(world, pod("one", on="a", gpus=3), pod("one", on="a", gpus=3, phase="Succeeded"), pod("two", on="a", gpus=3))
    assert referee.faults == ()


def test_what_a_deleted_pod_held_is_free_again(world, referee):
    see(world, pod("one", on="a", gpus=3))
    see(world, pod("one", on="a", gpus=3), event="DELETED")
    see(world, pod("two", on="a", gpus=3))
    assert referee.faults == ()


def test_a_pod_on_two_nodes_was_bound_twice(world, referee):
    see(world, pod("one", on="a"), pod("one", on="b"))
    assert referee.faults == ("pod ns/one was bound to a and to b",)


def test_a_pod_made_anew_under_its_name_may_go_elsewhere(world, referee):
    see(world, pod("one", on="a"))
    see(world, pod("one", on="a"), event="DELETED")
    see(world, pod("one", uid="other", on="b"))
    assert referee.faults == ()


def test_a_queue_above_its_limit_is_found(world, referee):
    see(world, pod("one", on="a", gpus=4), pod("two", on="b", gpus=3))
    assert referee.faults == ("queue research held 7 GPUs, over its limit of 6",)


def test_a_pod_that_fails_is_a_fault_unless_it_made_room(world, referee):
    see(world, pod("asked", on="a", conditions=[EVICTED]), pod("asked", on="a", phase="Failed", conditions=[EVICTED]))
    see(world, pod("refused", on="b", phase="Failed"))
    assert [fault for fault in referee.faults if "failed" in fault] == ["pod ns/refused failed on b:"]


def test_a_queue_pushed_below_its_quota_is_found(world, referee):
    see(world, pod("one", on="a", gpus=4), pod("two", on="b", gpus=2))
    see(world, pod("two", on="b", gpus=2, conditions=[EVICTED]))
    assert [fault for fault in referee.faults if "research" in fault] == []
    see(world, pod("one", on="a", gpus=4, conditions=[EVICTED]))
    assert "queue research was pushed to 0 GPUs, below its quota of 4" in referee.faults


def test_a_gang_may_be_half_bound_for_the_binding_window_only(world, referee):
    see(world, pod("one", on="a", workload="gang"))
    for _ in range(SETTLED):
        referee.tick()
    assert referee.faults == ()
    referee.tick()
    assert referee.faults == ("gang gang: 1 of at least 2 pods were bound, and stayed alone",)


def test_a_gang_that_becomes_whole_in_time_is_fine(world, referee):
    see(world, pod("one", on="a", workload="gang"))
    for _ in range(SETTLED):
        referee.tick()
    see(world, pod("two", on="a", workload="gang"))
    referee.tick()
    referee.close()
    assert referee.faults == ()


def test_who_waits_must_say_why(world, referee):
    see(world, pod("silent"), pod("speaking", conditions=[TOLD_WHY]))
    for _ in range(TOLD + 1):
        referee.tick()
    assert referee.faults == ("pod ns/silent waited without a reason",)
    assert referee.numbers.told == 1


def test_the_podgroup_of_who_waits_must_say_why_too(world, referee):
    waiting = {"type": "UnschedulableOnNodePool", "status": "True", "transitionID": "1", "reason": "GangDoesNotFit"}
    world.apply(PODGROUPS, [("ADDED", podgroup("speaking", waiting)), ("ADDED", podgroup("silent"))])
    see(world, *(pod(name, group=name, workload="gang", conditions=[TOLD_WHY]) for name in ("speaking", "silent")))
    for _ in range(TOLD + 1):
        referee.tick()
    assert referee.faults == ("pod ns/silent waited without a reason",)


def test_pods_of_other_schedulers_must_be_left_alone(world, referee):
    see(world, pod("placed", on="a", queue=""), pod("waiting", queue=""))
    assert referee.faults == ()
    see(world, pod("waiting", queue="", conditions=[TOLD_WHY]), pod("waiting", queue="", on="b"))
    see(world, pod("placed", on="a", queue=""), event="DELETED")
    assert len(referee.faults) == 3


def test_who_is_left_behind_at_the_end_is_found(world, referee):
    see(world, pod("left"), pod("half", on="a", workload="gang"))
    referee.close()
    assert len(referee.faults) == 2


DRIVER = "gpu.nvidia.com"


def claim(name, *devices, **more):
    results = [{"request": "r", "driver": DRIVER, "pool": "a", "device": device, **more} for device in devices]
    status = {"allocation": {"devices": {"results": results}}} if devices else {}
    return convert(Thing, {"metadata": {"name": name, "namespace": "ns"}, "status": status})


@pytest.fixture
def devices(world):
    """A GPU that can be cut in two unequal ways, and one that is shared."""
    pool = {"name": "a", "generation": 1, "resourceSliceCount": 2}
    sets = {"sharedCounters": [{"name": "gpu-0", "counters": {"slices": {"value": "7"}}}]}
    parts = [
        {"name": name, "consumesCounters": [{"counterSet": "gpu-0", "counters": {"slices": {"value": n}}}]}
        for name, n in (("half", "4"), ("third", "3"), ("other-half", "4"))
    ]
    shared = {"name": "shared", "allowMultipleAllocations": True, "capacity": {"cores": {"value": "100"}}}
    for number, part in enumerate((sets, {"devices": [*parts, shared]})):
        spec = {"driver": DRIVER, "pool": pool, **part}
        world.apply(SLICES, [("ADDED", convert(Thing, {"metadata": {"name": f"s{number}"}, "spec": spec}))])


def give(world, *claims, event="MODIFIED"):
    world.apply(CLAIMS, [(event, one) for one in claims])


def test_devices_that_are_given_one_after_the_other_are_no_fault(world, referee, devices):
    give(world, claim("one", "half"), claim("two", "third"), claim("one"), claim("three", "half"))
    give(world, claim("two", "third"), claim("three", "half"), event="DELETED")
    referee.close()
    assert referee.faults == ()
    assert referee.numbers.devices == 3


def test_a_device_that_two_claims_have_is_found(world, referee, devices):
    give(world, claim("one", "half"), claim("two", "half"))
    assert "device half of gpu.nvidia.com in pool a was given to ns/one and to ns/two" in referee.faults


def test_a_gpu_that_is_cut_into_more_than_it_is_is_found(world, referee, devices):
    give(world, claim("one", "half"), claim("two", "other-half"))
    assert len(referee.faults) == 1
    assert "gpu-0/slices" in referee.faults[0]


def test_a_device_that_is_shared_beyond_its_capacity_is_found(world, referee, devices):
    shares = [claim(name, "shared", shareID=name, consumedCapacity={"cores": "60"}) for name in ("one", "two")]
    give(world, shares[0])
    assert referee.faults == ()
    give(world, shares[1])
    assert "shared/cores" in referee.faults[0]


def test_a_claim_that_keeps_its_devices_is_found(world, referee, devices):
    give(world, claim("one", "half"))
    referee.close()
    assert referee.faults == ("claim ns/one kept its devices to the end",)
