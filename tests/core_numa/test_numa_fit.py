"""The vectorised Topology Manager against one that is written down slowly."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.numa.fit import Aligner
from kai_py.core.tables.zones import Policy, ZoneTable
from tests.core_numa.reference import admit

amounts = st.integers(0, 6)


@st.composite
def machines(draw):
    """Nodes of up to four zones and two resources, and what of each zone is free; sometimes overcommitted."""
    k = 2
    nodes = draw(st.lists(st.lists(st.tuples(amounts, amounts), max_size=4), min_size=1, max_size=3))
    free = [[tuple(draw(st.integers(-1, size)) for size in zone) for zone in zones] for zones in nodes]
    widest = max(map(len, nodes))

    def laid(rows):
        table = np.zeros((len(rows), widest, k), dtype=np.int64)
        for row, zones in enumerate(rows):
            for number, zone in enumerate(zones):
                table[row, number] = zone
        return table

    table = ZoneTable(
        resources=("cpu", "gpu"),
        names=tuple(tuple(map(str, range(len(zones)))) for zones in nodes),
        policy=np.array([draw(st.sampled_from(Policy)) for _ in nodes], dtype=np.uint8),
        by_pod=np.ones(len(nodes), dtype=np.bool_),
        allocatable=laid(nodes),
        available=laid(free),
        reported=np.array([[bool(zones) and draw(st.booleans()) for _ in range(k)] for zones in nodes]),
        records={},
    )
    return table, nodes, free


needs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3)


@given(machines(), needs, needs)
def test_a_kubelet_would_decide_the_same(made, together, apart):
    table, sizes, free = made
    rows = np.arange(len(sizes), dtype=np.int32)
    left = np.maximum(table.available, 0)
    before = left.copy()
    aligner = Aligner(table, [np.array(one) for one in together], [np.array(one) for one in apart])
    fit = aligner.admit(rows, left)
    admits, takes = aligner.take(slice(None), left)
    assert (left == before).all()
    for row, zones in enumerate(sizes):
        admitted, taken = admit(table.policy[row], zones, free[row], table.reported[row], together, apart)
        assert fit.admitted[row] == admits[row] == admitted
        assert takes[row, : len(zones)].tolist() == [list(zone) for zone in taken]
        assert not takes[row, len(zones) :].any()
        assert fit.span[row] == sum(map(any, taken))
        seat = aligner.seat(row, left[row].tolist())
        assert (seat is not None) == admitted
        parts = [(zone, k, units) for zone, one in enumerate(taken) for k, units in enumerate(one) if units]
        assert not admitted or list(seat) == parts


@given(machines(), needs)
def test_nobody_takes_more_than_is_free(made, together):
    table, _, _ = made
    left = np.maximum(table.available, 0)
    _, taken = Aligner(table, [np.array(one) for one in together]).take(slice(None), left)
    assert (taken <= left).all()
