"""Laws of the allocator, on random small worlds."""

from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st

from kai_py.core.dra.allocation import Allocation
from tests.core_dra.reference import brute_force, problems
from tests.core_dra.strategies import claims, worlds

some_claims = st.lists(claims(), min_size=1, max_size=2)


def assignment_of(found, wanted):
    """Chosen alternatives and rows of devices, as the reference has them."""
    chosen, assignment = [], []
    for one, asked in zip(found.claims, wanted, strict=True):
        by_request = {}
        for device in one.devices:
            by_request.setdefault(device.request, []).append(device.row)
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
