from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.core.tables.patterns import Pattern, Shape
from kai_py.core.tables.pods import NONE
from kai_py.core.topology.hops import Hops
from kai_py.core.topology.patterns import bound, pairs_of, sequence
from kai_py.core.topology.ranks import cost_of, place_ranks
from kai_py.core.topology.swaps import improve
from tests.core_topology import reference
from tests.core_topology.builders import grid, reordered, topology, trees

TREE = topology({"a": "b1/r1", "b": "b1/r1", "c": "b1/r2", "d": "b2/r3"}, ("block", "rack"))


def place(tree, counts, shape=Shape.RING, **options):
    return place_ranks(tree, np.array([counts]), Pattern(shape), **options)


def cheapest(tree, slots, pattern, kinds=None, stays=None):
    """The cost of the best of all mappings."""
    hops, (pairs, weights) = Hops.of(tree), pairs_of(pattern, len(slots))
    best = None
    for order in set(permutations(range(len(slots)))):
        nodes = np.array([slots[row] for row in order], dtype=np.int32)
        if stays is not None and any(node not in (NONE, nodes[rank]) for rank, node in enumerate(stays)):
            continue
        if kinds is not None and any(kinds[row] != kinds[rank] for rank, row in enumerate(order)):
            continue
        cost = cost_of(hops, pairs, weights, nodes)
        best = cost if best is None else min(best, cost)
    return best


def test_hops_count_the_levels_that_are_left():
    hops = Hops.of(TREE)
    a, others = np.array(0), np.array([0, 1, 2, 3])
    assert hops.between(a, others).tolist() == [0, 1, 2, 3]


def test_a_level_of_single_nodes_adds_no_hop():
    hosts = topology({"a": "r1/a", "b": "r1/b", "c": "r2/c"}, ("rack", "host"))
    assert Hops.of(hosts).between(np.array(0), np.array([1, 2])).tolist() == [1, 2]


@given(trees(max_nodes=6, levels=3))
def test_hops_are_those_of_a_walk_up_the_tree(tree):
    rows = np.arange(len(tree.nodes))
    hops = Hops.of(tree).between(rows[:, None], rows[None, :])
    assert hops.tolist() == [[reference.hops(tree, one, other) for other in rows] for one in rows]
    # An ultrametric: of three distances, the two largest are equal.
    assert (hops[:, None, :] <= np.maximum(hops[:, :, None], hops[None, :, :])).all()


def test_a_ring_walks_the_tree_once():
    tree = topology({"a": "b1/r1", "b": "b2/r2", "c": "b1/r1", "d": "b2/r2"}, ("block", "rack"))
    ranking = place(tree, [1, 1, 2, 1])
    assert [tree.nodes[node] for node in ranking.nodes.tolist()] == ["a", "c", "c", "b", "d"]
    assert (ranking.cost, ranking.bound, ranking.pairs) == (1 + 0 + 3 + 1 + 3, 8, 5)


def test_pairs_of_every_shape():
    assert pairs_of(Pattern(Shape.RING), 3)[0].tolist() == [[0, 1], [1, 2], [2, 0]]
    assert pairs_of(Pattern(Shape.TREE), 4)[0].tolist() == [[1, 0], [2, 0], [3, 1]]
    assert pairs_of(Pattern(Shape.ALL), 3)[0].tolist() == [[0, 1], [0, 2], [1, 2]]
    assert pairs_of(Pattern(Shape.RING), 1)[0].tolist() == []


def test_groups_talk_inside_and_place_by_place_to_other_groups():
    pairs, weights = pairs_of(Pattern(Shape.TREE, group=2, inner=5), 5)
    talk = dict(zip(map(tuple, pairs.tolist()), weights.tolist(), strict=True))
    assert talk == {(0, 1): 5, (2, 3): 5, (2, 0): 1, (4, 0): 1, (3, 1): 1}


def test_a_tree_is_laid_branch_by_branch():
    assert sequence(Pattern(Shape.TREE), 7) == [0, 1, 3, 4, 2, 5, 6]
    assert sequence(Pattern(Shape.RING), 3) == [0, 1, 2]


def test_groups_stay_whole_on_nodes_where_they_can():
    tree = topology({"a": "r1", "b": "r1", "c": "r2"}, ("rack",))
    ranking = place_ranks(tree, np.array([[3, 1, 2]]), Pattern(Shape.RING, group=2))
    groups = [set(pair) for pair in ranking.nodes.reshape(3, 2).tolist()]
    assert sorted(map(sorted, groups)) == [[0], [0, 1], [2]]


def test_a_short_last_group_gets_the_last_ranks():
    ranking = place_ranks(TREE, np.array([[2, 1, 0, 2]]), Pattern(Shape.RING, group=2))
    assert len(set(ranking.nodes[0:2].tolist())) == len(set(ranking.nodes[2:4].tolist())) == 1
    assert ranking.nodes[4] == 1


def test_all_to_all_costs_the_same_however_it_is_mapped():
    ranking = place(TREE, [2, 1, 1, 1], Shape.ALL)
    assert ranking.cost == ranking.bound == cheapest(TREE, [0, 0, 1, 2, 3], Pattern(Shape.ALL))
    assert ranking.pairs == 10


def test_a_replacement_goes_between_its_neighbours():
    fixed = np.array([0, NONE, 1, 3, NONE])
    ranking = place(TREE, [1, 0, 0, 1], fixed=fixed)
    assert ranking.nodes.tolist() == [0, 0, 1, 3, 3]


def test_ranks_of_a_class_get_places_of_their_class():
    counts, classes = np.array([[0, 1, 0, 0], [2, 0, 0, 2]]), np.array([1, 0, 1, 1, 1])
    ranking = place_ranks(TREE, counts, Pattern(), classes=classes)
    assert ranking.nodes[1] == 1
    assert sorted(ranking.nodes[[0, 2, 3, 4]].tolist()) == [0, 0, 3, 3]
    assert ranking.cost == cheapest(TREE, [0, 1, 0, 3, 3], Pattern(), kinds=[1, 0, 1, 1, 1])


def test_places_that_do_not_match_the_ranks_are_refused():
    with pytest.raises(ValueError, match=r"\[2\] ranks of each class for \[3\] places"):
        place(TREE, [3, 0, 0, 0], fixed=np.array([NONE, NONE]))
    with pytest.raises(ValueError, match=r"\[1, 2\] ranks of each class for \[2, 1\] places"):
        place_ranks(TREE, np.array([[1, 1, 0, 0], [1, 0, 0, 0]]), Pattern(), classes=np.array([0, 1, 1]))


def test_no_ranks_and_one_rank_cost_nothing():
    assert place(TREE, [0, 0, 0, 0]).nodes.tolist() == []
    assert place(TREE, [0, 1, 0, 0]).cost == 0


@st.composite
def gangs(draw, most=6):
    tree = draw(trees(max_nodes=5, levels=2))
    slots = draw(st.lists(st.integers(0, len(tree.nodes) - 1), min_size=1, max_size=most))
    return tree, slots, np.bincount(slots, minlength=len(tree.nodes))[None, :]


patterns = st.builds(Pattern, st.sampled_from(Shape), st.integers(1, 3), st.integers(1, 8))


@given(gangs())
@settings(deadline=None)
def test_a_ring_along_the_tree_is_the_best_of_all_and_meets_its_bound(gang):
    tree, slots, counts = gang
    ranking = place_ranks(tree, counts, Pattern())
    assert ranking.cost == ranking.bound == cheapest(tree, slots, Pattern())


@given(gangs(), patterns)
@settings(deadline=None)
def test_costs_are_honest_and_between_the_bound_and_the_worst(gang, pattern):
    tree, slots, counts = gang
    ranking = place_ranks(tree, counts, pattern)
    assert sorted(ranking.nodes.tolist()) == sorted(slots)
    pairs, weights = pairs_of(pattern, len(slots))
    far = [reference.hops(tree, *ranking.nodes[pair].tolist()) for pair in pairs]
    assert ranking.cost == sum(hops * weight for hops, weight in zip(far, weights.tolist(), strict=True))
    assert ranking.bound <= cheapest(tree, slots, pattern) <= ranking.cost
    assert ranking.pairs == weights.sum()


@given(gangs(), st.data())
@settings(deadline=None)
def test_ranks_that_stay_stay_and_bounds_hold(gang, data):
    tree, slots, _ = gang
    pattern = data.draw(patterns)
    stays = [node if data.draw(st.booleans()) else NONE for node in slots]
    counts = np.bincount(
        [node for node, stay in zip(slots, stays, strict=True) if stay == NONE], minlength=len(tree.nodes)
    ).astype(np.int64)
    ranking = place_ranks(tree, counts[None, :], pattern, fixed=np.array(stays))
    assert all(stay in (NONE, node) for stay, node in zip(stays, ranking.nodes.tolist(), strict=True))
    best = cheapest(tree, slots, pattern, stays=stays)
    assert ranking.bound <= best <= ranking.cost
    pairs, _ = pairs_of(pattern, len(slots))
    if not any(stays[one] == stays[other] == NONE for one, other in pairs.tolist() if one != other):
        assert ranking.cost == best


@given(gangs(), patterns, st.randoms())
@settings(deadline=None)
def test_a_mapping_does_not_depend_on_the_order_of_nodes(gang, pattern, random):
    tree, _, counts = gang
    order = list(range(len(tree.nodes)))
    random.shuffle(order)
    found, again = place_ranks(tree, counts, pattern), place_ranks(reordered(tree, order), counts[:, order], pattern)
    assert [tree.nodes[node] for node in found.nodes] == [tree.nodes[order[node]] for node in again.nodes]


@given(gangs(most=8), patterns, st.data())
@settings(deadline=None)
def test_swaps_only_make_a_mapping_cheaper(gang, pattern, data):
    tree, slots, _ = gang
    ranks, hops = len(slots), Hops.of(tree)
    kinds = np.array(data.draw(st.lists(st.integers(0, 1), min_size=ranks, max_size=ranks)))
    pairs, weights = pairs_of(pattern, ranks)
    talk = np.zeros((ranks, ranks), dtype=np.int64)
    np.add.at(talk, tuple(pairs.T), weights)
    before = np.array(slots, dtype=np.int32)
    after = improve(hops, talk + talk.T, talk * 0, before, kinds)
    assert cost_of(hops, pairs, weights, after) <= cost_of(hops, pairs, weights, before)
    for kind in (0, 1):
        assert sorted(after[kinds == kind].tolist()) == sorted(before[kinds == kind].tolist())


def test_swaps_stop_where_no_swap_helps():
    tree = topology({f"n{row}": f"r{row // 2}" for row in range(6)}, ("rack",))
    pairs, weights = pairs_of(Pattern(), 6)
    talk = np.zeros((6, 6), dtype=np.int64)
    np.add.at(talk, tuple(pairs.T), weights)
    mixed_up = np.array([0, 2, 4, 1, 3, 5], dtype=np.int32)
    hops, settled, alike = Hops.of(tree), np.zeros((6, 6), dtype=np.int64), np.zeros(6, dtype=np.int32)
    better = improve(hops, talk + talk.T, settled, mixed_up, alike)
    assert cost_of(hops, pairs, weights, mixed_up) == 12
    assert cost_of(hops, pairs, weights, better) == bound(Pattern(), hops, better) == 9
    assert improve(hops, talk + talk.T, settled, mixed_up, np.arange(6)).tolist() == mixed_up.tolist()


def test_what_ranks_pay_to_peers_that_stay_counts():
    settled = np.array([[9, 0], [0, 9]])
    places = np.array([0, 3], dtype=np.int32)
    nothing = np.zeros((2, 2), dtype=np.int64)
    assert improve(Hops.of(TREE), nothing, settled, places, np.zeros(2)).tolist() == [3, 0]


def test_a_ring_of_512_ranks_is_as_short_as_can_be():
    tree = grid(4, 8, 8, 2)
    counts = np.bincount(np.random.default_rng(1).integers(0, 512, 512), minlength=512)
    ranking = place_ranks(tree, counts[None, :], Pattern())
    assert ranking.cost == ranking.bound
