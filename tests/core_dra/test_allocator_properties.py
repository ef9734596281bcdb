"""Laws of the allocator, on random small worlds."""

from itertools import groupby

from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st

from kai_py.core.dra.allocation import Allocation
from kai_py.core.dra.allocator import Allocator
from kai_py.core.dra.refusal import Refusal, RefusalCode
from tests.core_dra.builders import PROFILES, World, claim, device, gpus, names, partitioned, pool, profiles, want
from tests.core_dra.reference import brute_force, problems
from tests.core_dra.strategies import claims, worlds

some_claims = st.lists(claims(), min_size=1, max_size=2)


def assignment_of(found, wanted):
    """Chosen alternatives and rows of devices, as the reference has them."""
    chosen, assignment = [], []
    for one, asked in zip(found.claims, wanted, strict=True):
        by_request = {}
        for result in one.devices:
            by_request.setdefault(result.request, []).append(result.row)
        numbers = [
            next(i for i, option in enumerate(request.alternatives) if option.name in by_request)
            for request in asked.requests
        ]
        chosen.append(numbers)
        assignment.append(
            [by_request[request.alternatives[i].name] for request, i in zip(asked.requests, numbers, strict=True)]
        )
    return chosen, assignment


@settings(max_examples=400, deadline=None)
@forall(worlds(), some_claims)
def test_devices_are_found_whenever_there_are_any_and_obey_all_rules(world, wanted):
    rows = world.inventory.at(0).rows
    before = world.ledger.state()
    found = world.allocate(*wanted)
    assert world.ledger.state() == before
    expected = brute_force(wanted, world.inventory, world.ledger, rows)
    if expected is None:
        assert not isinstance(found, Allocation)
        return
    assert isinstance(found, Allocation), found
    chosen, assignment = assignment_of(found, wanted)
    assert [*problems(wanted, chosen, assignment, world.inventory, world.ledger, rows)] == []
    # Later requests choose their alternatives when the devices of earlier ones are settled.
    assert chosen[0][0] == expected[0]


@settings(max_examples=150, deadline=None)
@forall(worlds(), some_claims, st.randoms(use_true_random=False))
def test_the_answer_does_not_depend_on_the_order_of_slices_nor_on_what_was_asked_before(world, wanted, shuffled):
    first = world.allocate(*wanted)
    again = world.allocate(*wanted)
    slices = list(world.slices)
    shuffled.shuffle(slices)
    other = World(slices, table=world.nodes)
    for identity, name in enumerate(world.inventory.ids):
        row = other.inventory.row_of_id[name]
        other.ledger.whole[row] = world.ledger.whole[identity]
        other.ledger.shares[row] = world.ledger.shares[identity]
        if identity in world.ledger.consumed:
            other.ledger.consumed[row] = dict(world.ledger.consumed[identity])
    other.ledger.used = list(world.ledger.used)
    assert other.allocate(*wanted) == first == again


@settings(max_examples=150, deadline=None)
@forall(st.integers(1, 6), st.sets(st.integers(0, 5)), claims(most=1))
def test_a_plain_request_gets_what_the_search_would_find(count, busy, wanted):
    world = World(pool("pool", *gpus(count, has={"kind": "A"})))
    world.occupy(*(f"g{i}" for i in busy if i < count))
    searched = Allocator(world.inventory)
    searched._at_once = lambda *_: None
    at_once, found = world.allocate(wanted), searched.allocate([wanted], 0, world.ledger)
    assert type(at_once) is type(found)
    if isinstance(found, Allocation):
        assert at_once.claims == found.claims
    else:
        assert at_once == found


@settings(max_examples=200, deadline=None)
@forall(worlds(), some_claims, st.integers(1, 12))
def test_with_few_steps_the_answer_is_right_or_that_it_takes_too_long(world, wanted, steps):
    rows = world.inventory.at(0).rows
    found = world.allocator.allocate(wanted, 0, world.ledger, steps=steps)
    if isinstance(found, Refusal):
        feasible = brute_force(wanted, world.inventory, world.ledger, rows) is not None
        assert found.code is RefusalCode.CUT or not feasible
    else:
        chosen, assignment = assignment_of(found, wanted)
        assert [*problems(wanted, chosen, assignment, world.inventory, world.ledger, rows)] == []


def room_for(wanted, gpus):
    """Whether profiles fit, by trying all places of all of them. ``gpus``: memory slices that are taken, as bits."""
    if not wanted:
        return True
    _, compute, memory, starts = next(one for one in PROFILES if one[0] == wanted[0])
    for number, (taken, used) in enumerate(gpus):
        for start in starts:
            slots = ((1 << memory) - 1) << start
            if not taken & slots and used + compute <= 7:
                others = [*gpus[:number], *gpus[number + 1 :], (taken | slots, used + compute)]
                if room_for(wanted[1:], sorted(others)):
                    return True
    return False


kinds_of_profiles = st.lists(st.sampled_from([one[0] for one in PROFILES]), min_size=1, max_size=9)


@settings(max_examples=200, deadline=None)
@forall(kinds_of_profiles, st.sampled_from(["s", "st"]))
def test_partitions_are_cut_whenever_they_fit(wanted, names_of_gpus):
    hardest_first = sorted(wanted, reverse=True)
    fits = room_for(hardest_first, [(0, 0)] * len(names_of_gpus))
    found = World(partitioned(*names_of_gpus)).allocate(profiles(*wanted))
    if isinstance(found, Refusal):
        assert found.code is not RefusalCode.CUT
    assert isinstance(found, Allocation) == fits
    if fits:
        assert [name.split("-")[1] for name in names(found)] == wanted
        by_gpu = groupby(sorted(name.split("-") for name in names(found)), key=lambda parts: parts[0])
        for _, parts in by_gpu:
            assert sum(next(one[1] for one in PROFILES if one[0] == part[1]) for part in parts) <= 7


def packs(sizes, left):
    """Whether parts fit into devices, by trying all."""
    if not sizes:
        return True
    return any(
        packs(sizes[1:], sorted([*left[:row], room - sizes[0], *left[row + 1 :]]))
        for row, room in enumerate(left)
        if room >= sizes[0] and room not in left[:row]
    )


@settings(max_examples=150, deadline=None)
@forall(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.lists(st.integers(4, 9), min_size=1, max_size=4))
def test_parts_of_devices_are_found_whenever_they_fit(sizes, devices):
    shared = [device(f"s{i}", capacity={"mem": size}, shareable=True) for i, size in enumerate(devices)]
    found = World(pool("pool", *shared)).allocate(*(claim(want(capacity={"mem": size})) for size in sizes))
    if isinstance(found, Refusal):
        assert found.code is not RefusalCode.CUT
    assert isinstance(found, Allocation) == packs(sorted(sizes, reverse=True), sorted(devices))
