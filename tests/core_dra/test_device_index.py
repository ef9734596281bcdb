"""The device index: counts for all nodes at once, as the ledger changes."""

from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st

from kai_py.core.dra.allocation import Allocation
from kai_py.core.dra.claims import ALL
from kai_py.core.dra.devices import EVERYWHERE, Slice
from kai_py.core.dra.index import UNLIMITED, DeviceIndex
from tests.core_dra.builders import Named, World, claim, counters, device, nodes, own, pool, request, want
from tests.core_dra.strategies import claims, worlds


def world(**sizes):
    """Nodes with so many GPUs."""
    return World(*(pool(node, *(device(f"g{i}") for i in range(size)), node=node) for node, size in sizes.items()))


def room(world, *wanted):
    found = DeviceIndex(world.allocator, world.ledger).room(wanted)
    return found.count.tolist(), found.exact.tolist()


def test_the_index_counts_how_many_claims_fit_on_each_node():
    here = world(a=4, b=1, c=0)
    assert room(here, claim(want())) == ([4, 1, 0], [True] * 3)
    assert room(here, claim(want(2))) == ([2, 0, 0], [True] * 3)
    assert room(here, claim(want(1, "g0", "g3"))) == ([2, 1, 0], [True] * 3)


def test_claims_of_one_pod_count_together():
    assert room(world(a=4, b=1), claim(want()), claim(want(1), want(1))) == ([1, 0], [True, True])


def test_the_index_follows_the_ledger():
    here = world(a=4, b=1)
    index = DeviceIndex(here.allocator, here.ledger)
    index.room([claim(want())])
    taken = here.commit(claim(want(3)), node="a").takes(here.inventory)
    assert index.room([claim(want())]).count.tolist() == [1, 1]
    here.ledger.give(taken)
    assert index.room([claim(want())]).count.tolist() == [4, 1]


def test_a_network_attached_device_is_room_on_every_node_until_it_is_taken():
    attached = Slice("s", "net", "pool", reach=EVERYWHERE, devices=(device("n0", driver="net"),))
    here = World([attached], table=nodes("a", "b"))
    index = DeviceIndex(here.allocator, here.ledger)
    assert index.room([claim(want())]).count.tolist() == [1, 1]
    here.commit(claim(want()), node="b")
    assert index.room([claim(want())]).count.tolist() == [0, 0]


def test_partitions_of_one_profile_are_counted_exactly():
    parts = [device(f"p{i}", uses={"gpu": {"m": 3}}) for i in range(4)]
    here = World(pool("pool", *parts, sets=counters(gpu={"m": 10})))
    assert room(here, claim(want())) == ([3], [True])
    mixed = [*parts, device("whole", uses={"gpu": {"m": 10}})]
    here = World(pool("pool", *mixed, sets=counters(gpu={"m": 10})))
    assert room(here, claim(want())) == ([3], [False])


def test_what_cannot_be_counted_exactly_is_a_bound_and_says_so():
    here = world(a=4)
    assert room(here, claim(want(1), same=own("zone")))[1] == [False]
    assert room(here, claim(request("r", want(2), want(1)))) == ([6], [False])
    assert room(here, claim(want(ALL))) == ([1], [False])
    assert room(here, claim(want(admin=True))) == ([UNLIMITED], [False])
    assert room(here, claim(want(1, "g0"), want(1, "g1"))) == ([1], [False])
    assert room(here, claim(want(1, selectors=(Named(broken=("g1",)),)))) == ([3], [False])


def test_parts_of_a_device_are_counted_by_its_capacity():
    here = World(pool("pool", device("s0", capacity={"mem": 10}, shareable=True), device("s1", shareable=True)))
    assert room(here, claim(want(1, "s0", capacity={"mem": 3}))) == ([3], [True])
    assert room(here, claim(want(1, "s1"))) == ([UNLIMITED], [True])
    assert room(here, claim(want(2)))[1] == [False]


def repeated(world, wanted):
    """How often a claim finds devices one after another; at most 40 times."""
    ledger = world.ledger.copy()
    for count in range(40):
        found = world.allocator.allocate(wanted, 0, ledger)
        if not isinstance(found, Allocation):
            return count
        ledger.take(found.takes(world.inventory))
    return 40


@settings(max_examples=200, deadline=None)
@forall(worlds(), st.lists(claims(), min_size=1, max_size=2))
def test_a_count_is_exact_or_a_bound_as_it_says(world, wanted):
    found = DeviceIndex(world.allocator, world.ledger).room(wanted)
    fits = repeated(world, wanted)
    assert min(found.count.item(0), 40) >= fits
    if found.exact.item(0):
        assert min(found.count.item(0), 40) == fits


@settings(max_examples=100, deadline=None)
@forall(worlds(), claims(most=1), st.lists(claims(), min_size=1, max_size=4))
def test_a_column_that_follows_the_ledger_is_one_that_is_made_anew(world, watched, others):
    index = DeviceIndex(world.allocator, world.ledger)
    given_away = []
    for other in [watched, *others]:
        index.room([watched])
        found = world.allocator.allocate([other], 0, world.ledger)
        if isinstance(found, Allocation):
            given_away.append(found.takes(world.inventory))
            world.ledger.take(given_away[-1])
        fresh = DeviceIndex(world.allocator, world.ledger).room([watched])
        assert index.room([watched]).count.tolist() == fresh.count.tolist()
    for taken in given_away:
        world.ledger.give(taken)
    fresh = DeviceIndex(world.allocator, world.ledger).room([watched])
    assert index.room([watched]).count.tolist() == fresh.count.tolist()
