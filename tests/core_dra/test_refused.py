"""Nodes that have refused claims are not asked again before something changes there."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.core.dra.allocation import Allocation
from kai_py.core.dra.claims import Constraint
from kai_py.core.dra.index import DeviceIndex
from kai_py.core.dra.refusal import Refusal, RefusalCode
from kai_py.core.dra.refused import RefusalMemory, Refused
from tests.core_dra.builders import World, claim, device, own, pool, want

from .strategies import claims, worlds

PAIR = claim(want(2), constraints=[Constraint(own("zone"))])


def two_zones():
    devices = [device("g0", has={"zone": "x"}), device("g1", has={"zone": "y"}), device("g2", has={"zone": "y"})]
    world = World(pool("pool", *devices))
    world.occupy("g2")
    return world


def test_a_node_that_refused_has_no_room_until_a_device_is_given_back():
    world = two_zones()
    index = DeviceIndex(world.allocator, world.ledger)
    assert index.room([PAIR]).count.tolist() == [1]
    index.refused.note([PAIR], 0, RefusalCode.CONSTRAINT)
    assert index.room([PAIR]).count.tolist() == [0]
    assert index.room([PAIR]).exact.tolist() == [True]
    world.ledger.give(world.taken("g2"))
    assert index.room([PAIR]).count.tolist() == [1]
    assert index.refused.code([PAIR], 0) is None


def test_what_is_given_back_and_taken_again_is_as_it_was():
    world = two_zones()
    index = DeviceIndex(world.allocator, world.ledger)
    index.refused.note([PAIR], 0, RefusalCode.CONSTRAINT)
    world.ledger.give(world.taken("g2"))
    assert index.room([PAIR]).count.tolist() == [1]
    world.occupy("g2")
    assert index.room([PAIR]).count.tolist() == [0]


def test_the_memory_outlives_a_cycle_and_ends_with_the_inventory():
    world, memory = two_zones(), RefusalMemory()
    Refused(world.inventory, world.ledger, memory).note([PAIR], 0, RefusalCode.CONSTRAINT)
    next_cycle = Refused(world.inventory, world.ledger.copy(), memory)
    assert next_cycle.nodes([PAIR]).tolist() == [True]
    assert next_cycle.code([PAIR], 0) is RefusalCode.CONSTRAINT
    world.ledger.give(world.taken("g2"))
    assert Refused(world.inventory, world.ledger, memory).nodes([PAIR]) is None
    other = two_zones()
    assert Refused(other.inventory, other.ledger, memory).nodes([PAIR]) is None


def test_claims_of_other_names_are_of_the_same_kind_and_those_with_other_constraints_are_not():
    world = two_zones()
    refused = Refused(world.inventory, world.ledger, RefusalMemory())
    refused.note([PAIR], 0, RefusalCode.CONSTRAINT)
    named = claim(want(2), constraints=[Constraint(own("zone"))], name="another")
    assert refused.code([named], 0) is RefusalCode.CONSTRAINT
    assert refused.code([claim(want(2))], 0) is None
    assert refused.code([PAIR, PAIR], 0) is None


@settings(max_examples=100, deadline=None)
@given(worlds(), claims(), st.lists(claims(), min_size=1, max_size=4))
def test_no_node_is_held_to_refuse_what_it_would_give(world, watched, others):
    memory = RefusalMemory()
    index = DeviceIndex(world.allocator, world.ledger, memory)
    given_away = []

    def look():
        found = world.allocator.allocate([watched], 0, world.ledger)
        for one in (index, DeviceIndex(world.allocator, world.ledger, memory)):
            if isinstance(found, Allocation):
                assert one.room([watched]).count.item(0) > 0
        if isinstance(found, Refusal):
            index.refused.note([watched], 0, found.code)
            assert index.room([watched]).count.item(0) == 0

    look()
    for other in others:
        found = world.allocator.allocate([other], 0, world.ledger)
        if isinstance(found, Allocation):
            given_away.append(found.takes(world.inventory))
            world.ledger.take(given_away[-1])
        look()
    for taken in reversed(given_away):
        world.ledger.give(taken)
        look()
