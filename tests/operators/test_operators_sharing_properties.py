"""Whatever happens, and wherever a scheduler dies: no GPU is given twice, none beyond its memory, and none is lost."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kai_py.cluster.reservations import NAMESPACE
from kai_py.cluster.shares.ways import Ways

from .sharing_world import World

#: No pods, no ConfigMaps, nothing held.
NOTHING = ({}, {}, {})
FRACTIONS = ("0.2", "0.5", "0.7", "1")
STEPS = st.one_of(
    st.tuples(st.just("share"), st.sampled_from(FRACTIONS)),
    st.tuples(st.just("whole")),
    st.tuples(st.just("end"), st.integers(0, 7)),
    st.tuples(st.just("watch"), st.sampled_from([None, 1, 2])),
    st.tuples(st.just("cycle")),
    st.tuples(st.just("kubelet")),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("tick")),
    st.tuples(st.just("dies_after"), st.integers(1, 9)),
)


async def play(world, steps, *, guarded=True):
    for name, *arguments in steps:
        if name == "dies_after":
            world.server.writes_left = arguments[0]
            continue
        done = getattr(world, name)(*arguments)
        if asyncio.iscoroutine(done):
            await done
        world.check(guarded=guarded)
    world.server.writes_left = None


async def at_rest(world, *, guarded=True):
    """Nothing is lost: whoever fits has a place, and what nobody needs is gone. Then all pods end.

    Returns:
        What is left: pods, ConfigMaps, and what is held.
    """
    await world.converge()
    await world.kill()  # pauses after failures are forgotten
    await world.converge()
    world.check(guarded=guarded)
    assert world.left_waiting() == []
    assert world.unguarded() == []
    pods = world.server.pods
    shared = [pod for pod in pods.values() if "gpu-fraction" in pod["metadata"].get("annotations", {})]
    seats = {
        (pod["spec"]["nodeName"], pod["metadata"]["labels"]["runai-gpu-group"])
        for pod in shared
        if pod["spec"].get("nodeName")
    }
    kept = {
        (pod["spec"]["nodeName"], pod["metadata"]["labels"]["runai-gpu-group"]) for pod in world.reservations().values()
    }
    assert kept == seats
    owners = {pod["metadata"]["uid"] for pod in pods.values()}
    assert {one["metadata"]["ownerReferences"][0]["uid"] for one in world.server.configmaps.values()} <= owners
    for key in [key for key in pods if key[0] == "ns"]:
        world.server.terminate(key, pods[key])
        if key in pods:
            world.server.changed("MODIFIED", pods[key])
    await world.converge()
    return dict(world.server.pods), dict(world.server.configmaps), dict(world.held)


def left_after(steps, seed, *, guarded=True):
    """What is left of a story when all is over; what must hold at every moment is checked after each of its steps."""

    async def story():
        world = World(random.Random(seed).choice)
        try:
            await play(world, steps, guarded=guarded)
            return await at_rest(world, guarded=guarded)
        finally:
            await world.stop()

    return asyncio.run(story())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=30), st.integers(0, 3))
def test_whatever_happens_no_gpu_is_given_twice_or_lost(steps, seed):
    assert left_after(steps, seed) == NOTHING


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(STEPS, st.tuples(st.just("snatch"), st.integers(0, 3))), max_size=25), st.integers(0, 3))
def test_reservation_pods_that_others_delete_are_made_again_or_their_pods_end(steps, seed):
    assert left_after(steps, seed, guarded=False) == NOTHING


START = [("share", "0.5"), ("share", "0.5"), ("watch", None), ("cycle",)]
GO_ON = [("watch", None), ("kubelet",), ("watch", None), ("cycle",), ("watch", None)]


@pytest.mark.parametrize("writes", range(1, 10))
def test_a_leader_that_dies_between_any_two_writes_leaves_nothing_that_the_next_one_does_not_mend(writes):
    steps = [*START[:3], ("dies_after", writes), START[3], *GO_ON, *GO_ON]
    assert left_after(steps, 0) == NOTHING


def test_two_that_share_a_gpu_have_one_reservation_pod_and_it_goes_with_the_last():
    async def story():
        world = World()
        await play(world, [*START, *GO_ON])
        assert [[str(one) for one in fractions] for fractions in world.sharers().values()] == [["1/2", "1/2"]]
        assert len(world.reservations()) == 1
        world.end(0)
        await world.converge()
        assert len(world.reservations()) == 1
        world.end(0)
        await world.converge()
        assert [key for key in world.server.pods if key[0] == NAMESPACE] == []
        await world.stop()

    asyncio.run(story())


def test_pods_whose_gpu_is_lost_for_another_one_are_ended_and_those_who_get_it_back_stay():
    async def story(pick):
        world = World()
        await play(world, [("share", "0.5"), *START[2:], *GO_ON])
        (before,) = world.sharers()
        world.pick = pick
        world.snatch(0)
        await world.converge()
        pods = [key for key in world.server.pods if key[0] == "ns"]
        gpus, reserved = list(world.sharers()), len(world.reservations())
        await world.stop()
        return before, pods, gpus, reserved

    before, pods, gpus, reserved = asyncio.run(story(min))
    assert (before, pods, gpus, reserved) == (before, [("ns", "p1")], [before], 1)
    before, pods, gpus, reserved = asyncio.run(story(max))
    assert before.endswith("0")
    assert (pods, gpus, reserved) == ([], [], 0)


def test_two_that_start_at_once_on_one_gpu_have_it_reserved_once():
    async def story():
        world = World()
        await play(world, START)
        assert len(world.reservations()) == 1
        assert sum(kind == "ADDED" for kind, pod in world.server.log if pod["metadata"]["namespace"] == NAMESPACE) == 1
        await world.stop()

    asyncio.run(story())


def test_what_is_held_is_given_back_also_when_gpus_are_shared_no_longer():
    async def story():
        world = World()
        await play(world, [*START, *GO_ON])
        world.store.reservations.enabled = False
        world.store.layout.share_gpus(Ways("none"), world.now)
        world.end(0)
        world.end(1)
        await world.converge()
        assert world.server.pods == {}
        await world.stop()

    asyncio.run(story())
