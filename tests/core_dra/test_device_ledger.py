"""The ledger of devices: taking, giving back, and what two claims on one device mean."""

from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st

from kai_py.core.dra.allocation import Allocation
from kai_py.core.dra.devices import UNIT, DeviceId
from kai_py.core.dra.ledger import DeviceLedger, Take
from tests.core_dra.builders import DRIVER, World, counters, device, pool
from tests.core_dra.strategies import claims, worlds


def identity(world, name):
    return world.inventory.row_of_id[DeviceId(DRIVER, "pool", name)]


def test_a_device_that_two_claims_have_is_free_when_both_have_given_it_back():
    world = World(pool("pool", device("g0", uses={"gpu": {"m": 3}}), sets=counters(gpu={"m": 8})))
    one = Take(identity(world, "g0"))
    world.ledger.take([one])
    world.ledger.take([one])
    assert world.ledger.used == [3 * UNIT]
    world.ledger.give([one])
    assert world.ledger.busy(one.identity)
    assert world.ledger.used == [3 * UNIT]
    world.ledger.give([one])
    assert not world.ledger.busy(one.identity)
    assert world.ledger.used == [0]


def test_parts_add_up_by_capacity():
    world = World(pool("pool", device("s0", capacity={"mem": 10}, shareable=True)))
    ledger = world.ledger
    ledger.take([Take(0, True, (("mem", 3),)), Take(0, True, (("mem", 4),)), Take(0, True, (("mem", 0),))])
    assert ledger.consumed == {0: {"mem": 7}}
    ledger.give([Take(0, True, (("mem", 3),)), Take(0, True, (("mem", 4),))])
    assert ledger.consumed == {}
    assert ledger.shares == [1]


def test_a_copy_is_independent():
    world = World(pool("pool", device("s0", capacity={"mem": 10}, shareable=True)))
    world.ledger.take([Take(0, True, (("mem", 3),))])
    other = world.ledger.copy()
    assert other.state() == world.ledger.state()
    other.take([Take(0, True, (("mem", 3),))])
    assert world.ledger.consumed == {0: {"mem": 3}}
    assert other.consumed == {0: {"mem": 6}}


@settings(max_examples=150, deadline=None)
@forall(worlds(), st.lists(claims(), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_taking_and_giving_back_in_any_order_leaves_no_trace(world, wanted, shuffled):
    ledger: DeviceLedger = world.ledger
    states, taken = [ledger.state()], []
    for one in wanted:
        found = world.allocate(one)
        if isinstance(found, Allocation):
            taken.append(found.takes(world.inventory))
            ledger.take(taken[-1])
            states.append(ledger.state())
        totals = world.inventory.counters.totals
        charges = world.inventory.charges_of_id
        busy = [row for row in range(len(world.inventory.ids)) if ledger.busy(row)]
        for counter, used in enumerate(ledger.used):
            assert used == sum(amount for row in busy for k, amount in charges[row] if k == counter)
            assert 0 <= used <= max(totals[counter], dict_of(states[0])[counter])
    # Last in, first out: every state in between comes back.
    for one, before in zip(reversed(taken), reversed(states[:-1]), strict=True):
        ledger.give(one)
        assert ledger.state() == before
    for one in taken:
        ledger.take(one)
    shuffled.shuffle(taken)
    for one in taken:
        ledger.give(one)
    assert ledger.state() == states[0]


def dict_of(state):
    """Counters as they were used before anybody was asked: others may have taken too much."""
    return state[2]
