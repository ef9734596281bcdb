"""Better nodes of the domains that were chosen."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.topology.favour import favour

nodes = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 4), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=1,
    max_size=8,
)


def columns(rows):
    parts, slots, counts, score = zip(*rows, strict=True)
    return np.array(parts), np.array(slots), np.minimum(counts, slots), np.array(score)


def test_the_best_nodes_of_each_part_are_filled_first():
    found = favour(*columns([(0, 2, 2, 0.0), (0, 2, 0, 1.0), (1, 2, 1, 0.0), (1, 2, 0, 0.0), (2, 2, 0, 1.0)]))
    assert found.tolist() == [0, 2, 1, 0, 0]


@given(nodes)
def test_as_many_pods_as_before_go_to_each_part_and_no_node_takes_more_than_it_has(rows):
    parts, slots, counts, score = columns(rows)
    found = favour(parts, slots, counts, score)
    assert (found <= slots).all()
    assert np.bincount(parts, found).tolist() == np.bincount(parts, counts).tolist()


@given(nodes)
def test_no_node_with_room_is_better_than_one_that_is_used(rows):
    parts, slots, counts, score = columns(rows)
    found = favour(parts, slots, counts, score)
    for part in set(parts[counts > 0].tolist()):
        used, free = (parts == part) & (found > 0), (parts == part) & (found < slots)
        assert score[used].min() >= score[free].max(initial=0.0) or (found == counts).all()


@given(nodes)
def test_equal_nodes_change_nothing(rows):
    parts, slots, counts, score = columns(rows)
    assert favour(parts, slots, counts, np.zeros_like(score)).tolist() == counts.tolist()
