"""What devices may take of their node, in the allocator: the search goes round what takes too much."""

from dataclasses import replace

from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st

from kai_py.core.dra.allocation import Allocation
from kai_py.core.dra.devices import UNIT, NodeShare
from kai_py.core.dra.ledger import Take
from kai_py.core.dra.node_shares import NodeRoom, NodeTally
from kai_py.core.dra.refusal import RefusalCode, Shortage
from tests.core_dra.builders import World, claim, device, names, pool, request, want
from tests.core_dra.reference import brute_force, problems
from tests.core_dra.strategies import claims, worlds
from tests.core_dra.test_allocator_properties import assignment_of

AXIS = {"cpu": 1000}


def room(unused=(), **left):
    return NodeRoom(left, lambda name: AXIS.get(name, 1), frozenset(unused))


def taker(name, **takes):
    """A device that takes so many billionths of each resource."""
    return device(name, node_shares=tuple(NodeShare(key, "", units) for key, units in sorted(takes.items())))


def allocate(world, *wanted, within):
    return world.allocator.allocate(list(wanted), 0, world.ledger, room=within)


def test_devices_that_take_too_much_are_passed_over():
    world = World(pool("pool", taker("big", memory=8 * UNIT), taker("small", memory=2 * UNIT), device("none")))
    assert names(allocate(world, claim(want()), within=room(memory=8))) == ["big"]
    assert names(allocate(world, claim(want()), within=room(memory=7))) == ["small"]
    assert names(allocate(world, claim(want()), within=room())) == ["none"]
    assert names(allocate(world, claim(want(2)), within=room(memory=2))) == ["small", "none"]


def test_the_refusal_says_how_much_the_first_devices_take_and_what_is_left():
    world = World(pool("pool", taker("big", memory=8 * UNIT), taker("other", memory=8 * UNIT)))
    refusal = allocate(world, claim(want(2), name="c"), within=room(memory=9))
    assert (refusal.code, refusal.claim) == (RefusalCode.NODE_ROOM, "c")
    assert refusal.shortages == (Shortage("memory", 16, 9),)


def test_amounts_are_rounded_up_claim_by_claim():
    """Two claims on half a millicore each are two millicores, one claim on both is one."""
    world = World(pool("pool", taker("a", cpu=500_000), taker("b", cpu=500_000)))
    assert isinstance(allocate(world, claim(want(2)), within=room(cpu=1)), Allocation)
    assert not isinstance(allocate(world, claim(want()), claim(want()), within=room(cpu=1)), Allocation)
    assert isinstance(allocate(world, claim(want()), claim(want()), within=room(cpu=2)), Allocation)


def test_a_claim_that_no_container_uses_gets_devices_that_take_nothing():
    world = World(pool("pool", taker("big", memory=UNIT), device("none")))
    two = claim(want()), claim(want())
    found = allocate(world, *two, within=room([0], memory=1))
    assert names(found) == ["none", "big"]
    refusal = allocate(world, claim(want(2)), within=room([0], memory=9))
    assert refusal.code is RefusalCode.NODE_UNUSED


def test_a_second_alternative_is_taken_where_the_first_takes_too_much():
    world = World(pool("pool", taker("h100", memory=8 * UNIT), taker("a100", memory=2 * UNIT)))
    listed = claim(request("r", want(1, "h100"), want(1, "a100")))
    assert names(allocate(world, listed, within=room(memory=8))) == ["h100"]
    assert names(allocate(world, listed, within=room(memory=7))) == ["a100"]


def test_a_tally_gives_back_what_it_took():
    tally = NodeTally(room(memory=10))
    big = taker("big", memory=6 * UNIT)
    assert tally.take(big, 0, (), admin=False)
    assert not tally.take(big, 0, (), admin=False)
    assert tally.take(big, 0, (), admin=True)
    tally.undo()
    tally.undo()
    assert tally.take(big, 1, (), admin=False)


@st.composite
def worlds_with_takers(draw):
    """Random worlds whose devices take something of their node's memory, or not."""
    world = draw(worlds())

    def taking(one):
        ways = [(), (NodeShare("memory", "", draw(st.integers(1, 4)) * UNIT // 2),)]
        if one.capacities:
            ways.append((NodeShare("memory", "mem", draw(st.integers(1, 2)) * UNIT),))
        return replace(one, node_shares=draw(st.sampled_from(ways)))

    slices = [replace(one, devices=tuple(map(taking, one.devices))) for one in world.slices]
    made = World(slices, table=world.nodes)
    made.ledger.take(
        [Take(row) for row, count in enumerate(world.ledger.whole) if count]
        + [Take(row, True, (("mem", UNIT),)) for row, count in enumerate(world.ledger.shares) if count]
    )
    return made


@settings(max_examples=400, deadline=None)
@forall(worlds_with_takers(), st.lists(claims(), min_size=1, max_size=2), st.integers(0, 8))
def test_devices_within_the_room_are_found_whenever_there_are_any(world, wanted, left):
    rows = world.inventory.at(0).rows
    before = world.ledger.state()
    found = allocate(world, *wanted, within=room(memory=left))
    assert world.ledger.state() == before
    expected = brute_force(wanted, world.inventory, world.ledger, rows, left)
    if expected is None:
        assert not isinstance(found, Allocation)
        return
    assert isinstance(found, Allocation), found
    chosen, assignment = assignment_of(found, wanted)
    assert [*problems(wanted, chosen, assignment, world.inventory, world.ledger, rows, left)] == []
