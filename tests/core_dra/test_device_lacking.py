"""What a node lacks, told without a search."""

from hypothesis import assume, settings
from hypothesis import given as forall
from hypothesis import strategies as st

from kai_py.core.dra.allocation import Allocation
from kai_py.core.dra.claims import ALL
from kai_py.core.dra.lacking import lack_of
from kai_py.core.dra.refusal import RefusalCode
from kai_py.core.tables.nodes import Taint
from tests.core_dra.builders import World, claim, counters, device, own, pool, request, want
from tests.core_dra.strategies import claims, worlds


def lack(world, *wanted):
    return lack_of(world.allocator, wanted, 0, world.ledger)


def test_what_takes_the_devices_away_is_told():
    parts = [device(f"p{i}", uses={"gpu": {"m": 6}}) for i in range(2)]
    here = World(pool("pool", *parts, device("g", capacity={"mem": 10}), sets=counters(gpu={"m": 10})))
    assert lack(here, claim(want(1, "g"))) is RefusalCode.TOGETHER
    assert lack(here, claim(want(2, "g"))) is RefusalCode.NO_MATCH
    assert lack(here, claim(want(1, "g", capacity={"mem": 11}))) is RefusalCode.TOO_SMALL
    here.occupy("p0")
    assert lack(here, claim(want(1, "p0"))) is RefusalCode.IN_USE
    assert lack(here, claim(want(1, "p1"))) is RefusalCode.COUNTERS_USED_UP


def test_of_several_alternatives_the_last_one_counts_and_of_several_requests_the_first_that_fails():
    here = World(pool("pool", device("g0"), device("g1")))
    here.occupy("g0")
    assert lack(here, claim(request("r", want(1, "x"), want(1, "g0")))) is RefusalCode.IN_USE
    assert lack(here, claim(want(1, "g1"), want(1, "x"), want(1, "g0"))) is RefusalCode.NO_MATCH


def test_requests_that_compete_lack_nothing_alone():
    here = World(pool("pool", device("g0")))
    assert lack(here, claim(want(1), want(1))) is RefusalCode.TOGETHER
    assert lack(here, claim(want(1), same=own("zone"))) is RefusalCode.TOGETHER


def test_of_sizes_and_taints_the_first_that_leaves_too_few_is_told_by_both():
    small = [device(f"s{i}", capacity={"mem": 5}) for i in range(2)]
    here = World(pool("pool", *small, device("t", capacity={"mem": 10}, taints=(Taint("broken", "", "NoSchedule"),))))
    two, one = (claim(want(count, capacity={"mem": 10})) for count in (2, 1))
    for wanted, code in ((two, RefusalCode.TOO_SMALL), (one, RefusalCode.TAINTED)):
        assert lack(here, wanted) is code
        assert here.allocator.allocate([wanted], 0, here.ledger).code is code


@settings(max_examples=300, deadline=None)
@forall(worlds(), st.lists(claims(), min_size=1, max_size=2))
def test_where_the_allocator_finds_devices_nothing_is_lacking(world, wanted):
    if isinstance(world.allocator.allocate(wanted, 0, world.ledger), Allocation):
        assert lack(world, *wanted) in (RefusalCode.TOGETHER, RefusalCode.SELECTOR_FAILED)


@settings(max_examples=300, deadline=None)
@forall(worlds(plain=True), claims(most=1))
def test_for_one_claim_it_says_what_the_allocator_says(world, wanted):
    """Where all devices are wanted, it tells those that are used up from those that are too small."""
    assume(all(way.count != ALL for one in wanted.requests for way in one.alternatives))
    found = world.allocator.allocate([wanted], 0, world.ledger)
    told = lack(world, wanted)
    if not isinstance(found, Allocation) and told is not RefusalCode.TOGETHER and found.request:
        assert told is found.code


def test_all_devices_are_used_up_or_too_small_or_taken():
    shared = device("s", capacity={"mem": 10}, shareable=True)
    here = World(pool("pool", shared, device("g", capacity={"mem": 5})))
    assert lack(here, claim(want(ALL, "s", capacity={"mem": 11}))) is RefusalCode.TOO_SMALL
    here.commit(claim(want(1, "s", capacity={"mem": 10})))
    assert lack(here, claim(want(ALL, "s", capacity={"mem": 1}))) is RefusalCode.CAPACITY_USED_UP
    assert lack(here, claim(want(ALL, capacity={"mem": 1}))) is RefusalCode.TOGETHER
    here.occupy("g")
    assert lack(here, claim(want(ALL))) is RefusalCode.IN_USE
    assert lack(here, claim(want(ALL, "x"))) is RefusalCode.NO_MATCH
