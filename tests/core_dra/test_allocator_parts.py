"""Parts of devices: partitions that share counters, and shares of a capacity."""

import pytest

from kai_py.core.dra.devices import UNIT, DeviceId, Policy, Range, Reach, Slice
from kai_py.core.dra.ledger import Take
from kai_py.core.dra.refusal import RefusalCode
from tests.core_dra.builders import DRIVER, World, claim, counters, device, names, own, pool, want


# partitions -------------------------------------------------------------------------------------------
def cut(*sizes, total=8, **more):
    """A GPU of which partitions of these sizes can be taken."""
    parts = [device(f"p{i}", uses={"gpu": {"m": size}}, **more) for i, size in enumerate(sizes)]
    return World(pool("pool", *parts, sets=counters(gpu={"m": total})))


def test_partitions_are_taken_as_long_as_their_counters_last():
    world = cut(4, 4, 4)
    assert names(world.allocate(claim(want(2)))) == ["p0", "p1"]
    refusal = world.allocate(claim(want(3)))
    assert refusal.code is RefusalCode.TOGETHER
    world.occupy("p0", "p1")
    refusal = world.allocate(claim(want()))
    assert refusal.code is RefusalCode.COUNTERS_USED_UP
    assert refusal.counters == ((f"{DRIVER}/pool", "gpu", "m"),)


def test_counters_of_a_partition_that_is_not_taken_after_all_are_not_charged():
    # p0 would fit, but not under the constraint; then p1 must still find the whole GPU.
    p0 = device("p0", uses={"gpu": {"m": 8}}, has={"zone": "y"})
    p1 = device("p1", uses={"gpu": {"m": 8}}, has={"zone": "x"})
    world = World(
        pool("pool", p0, p1, sets=counters(gpu={"m": 8})),
        pool("nic", device("n", driver="nic", has={own("zone"): "x"})),
    )
    assert names(world.allocate(claim(want(1, "n"), want(1, "p0", "p1"), same=own("zone")))) == ["n", "p1"]


def test_pools_of_equal_names_have_their_own_counters():
    pools = [
        pool("pool", device("p", driver=driver, uses={"gpu": {"m": 8}}), sets=counters(gpu={"m": 8}))
        for driver in ("one", "two")
    ]
    assert names(World(*pools).allocate(claim(want(2)))) == ["p", "p"]


def test_devices_of_a_pool_that_other_nodes_have_use_its_counters_up():
    here, there = (device(f"p-{node}", uses={"gpu": {"m": 8}}) for node in "ab")
    sets = counters(gpu={"m": 8})
    slices = [
        Slice("s0", DRIVER, "pool", 1, 3, Reach(node="a"), (here,)),
        Slice("s1", DRIVER, "pool", 1, 3, Reach(node="b"), (there,)),
        Slice("s2", DRIVER, "pool", 1, 3, Reach(node="a"), (), sets),
    ]
    world = World(slices)
    world.occupy("p-b")
    assert world.allocate(claim(want()), node="a").code is RefusalCode.COUNTERS_USED_UP


def test_the_smallest_partition_that_will_do_is_taken_on_the_gpu_that_is_cut_already():
    parts = [
        device(f"{gpu}-{size}-{i}", uses={gpu: {"m": size}}) for gpu in ("s", "t") for size in (4, 2) for i in range(2)
    ]
    world = World(pool("pool", *parts, sets=counters(s={"m": 8}, t={"m": 8})))
    assert names(world.commit(claim(want()))) == ["s-2-0"]
    world.ledger.give([Take(world.inventory.row_of_id[DeviceId(DRIVER, "pool", "s-2-0")])])
    world.occupy("t-2-0")
    assert names(world.commit(claim(want()))) == ["t-2-1"]


# consumable capacity ----------------------------------------------------------------------------------
def shared(policy=None, size=10, **more):
    return device("s0", capacity={"mem": (size, policy) if policy else size}, shareable=True, **more)


def test_several_claims_share_a_device_until_its_capacity_is_used_up():
    world = World(pool("pool", shared()))
    for _ in range(3):
        found = world.commit(claim(want(capacity={"mem": 3})))
        assert found.claims[0].devices[0].shared
        assert found.claims[0].devices[0].consumed == (("mem", 3 * UNIT),)
    refusal = world.allocate(claim(want(capacity={"mem": 3})))
    assert refusal.code is RefusalCode.CAPACITY_USED_UP


def test_a_request_that_names_no_amount_takes_the_default_or_everything():
    world = World(pool("pool", shared(Policy(default=UNIT))))
    assert world.allocate(claim(want())).claims[0].devices[0].consumed == (("mem", UNIT),)
    world = World(pool("pool", shared()))
    assert world.allocate(claim(want())).claims[0].devices[0].consumed == (("mem", 10 * UNIT),)


@pytest.mark.parametrize(("asked", "taken"), [(1, 2), (2, 2), (3, 5), (5, 5), (8, 8)])
def test_an_amount_is_rounded_up_to_the_next_step(asked, taken):
    policy = Policy(default=2 * UNIT, range=Range(2 * UNIT, 8 * UNIT, 3 * UNIT))
    found = World(pool("pool", shared(policy))).allocate(claim(want(capacity={"mem": asked})))
    assert found.claims[0].devices[0].consumed == (("mem", taken * UNIT),)


def test_an_amount_beyond_what_a_policy_allows_is_refused():
    policy = Policy(default=2 * UNIT, range=Range(2 * UNIT, 8 * UNIT, 3 * UNIT))
    world = World(pool("pool", shared(policy)))
    assert world.allocate(claim(want(capacity={"mem": 9}))).code is RefusalCode.TOO_SMALL
    assert world.allocate(claim(want(capacity={"other": 1}))).code is RefusalCode.TOO_SMALL


def test_for_a_device_that_is_not_shared_an_amount_is_a_least_size():
    world = World(pool("pool", device("small", capacity={"mem": 2}), device("large", capacity={"mem": 8})))
    found = world.allocate(claim(want(capacity={"mem": 4})))
    assert names(found) == ["large"]
    assert not found.claims[0].devices[0].shared
    assert found.claims[0].devices[0].consumed == ()


def test_two_requests_may_share_a_device_but_a_count_means_different_ones():
    world = World(pool("pool", shared()))
    assert names(world.allocate(claim(want(capacity={"mem": 4}), want(capacity={"mem": 4})))) == ["s0", "s0"]
    assert world.allocate(claim(want(2, capacity={"mem": 4}))).code is RefusalCode.NO_MATCH


def test_counters_of_a_shared_device_are_charged_once_and_come_back():
    part = shared(uses={"gpu": {"m": 8}})
    other = device("whole", uses={"gpu": {"m": 8}}, has={"kind": "A"})
    world = World(pool("pool", part, other, sets=counters(gpu={"m": 8})))
    world.commit(claim(want(1, "s0", capacity={"mem": 4})))
    second = world.commit(claim(want(1, "s0", capacity={"mem": 4})))
    assert world.ledger.used == [8 * UNIT]
    assert world.allocate(claim(want(1, "whole"))).code is RefusalCode.COUNTERS_USED_UP
    world.ledger.give(second.takes(world.inventory))
    assert world.ledger.used == [8 * UNIT]
    # Within a search: the first request must give s0 up again so that the second one finds its counters.
    fresh = World(pool("pool", part, other, device("spare"), sets=counters(gpu={"m": 8})))
    assert names(fresh.allocate(claim(want(1, "s0", "spare"), want(1, "whole")))) == ["spare", "whole"]


def test_a_device_that_somebody_has_to_himself_is_not_shared_and_the_other_way_round():
    world = World(pool("pool", shared()))
    world.occupy("s0")
    assert world.allocate(claim(want(capacity={"mem": 1}))).code is RefusalCode.IN_USE
    world = World(pool("pool", device("s0")))
    world.ledger.take([Take(0, True)])
    assert world.allocate(claim(want())).code is RefusalCode.IN_USE
