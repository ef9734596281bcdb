import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.core.tables.domains import ROOT
from kai_py.core.topology.choice import Choice, Constraint, Offer, Shortfall, ShortfallCode
from kai_py.core.topology.choose import choose
from tests.core_topology import reference
from tests.core_topology.builders import grid, reordered, topology, trees

ZONE, BLOCK, RACK = 0, 1, 2


def ask(tree, slots, pods, *, required=ROOT, preferred=ROOT, running=()):
    pinned = np.array([tree.nodes.index(node) for node in running], dtype=np.int32)
    offer = Offer.of_slots(np.array(slots))
    return choose(tree, Constraint(required, preferred), offer, np.array([pods]), pinned=pinned)


def names(tree, choice):
    return sorted("/".join(tree.name_of(choice.cover_level, part)) for part in choice.cover.tolist())


def places(tree, choice):
    counts = choice.counts.sum(axis=0).tolist()
    return {node: count for node, count in zip(tree.nodes, counts, strict=True) if count}


def test_a_required_level_is_one_domain_the_tightest_that_holds_all():
    tree = topology({"a": "r1", "b": "r1", "c": "r2", "d": "r3"}, ("rack",))
    choice = ask(tree, [3, 3, 5, 4], 5, required=0)
    assert names(tree, choice) == ["r2"]
    assert choice.mask.tolist() == [False, False, True, False]
    assert (choice.leftover, choice.exact) == (0, True)


def test_when_no_domain_is_large_enough_the_nearest_miss_is_named():
    tree = topology({"a": "r1", "b": "r1", "c": "r2"}, ("rack",))
    missed = ask(tree, [2, 1, 2], 4, required=0)
    assert missed == Shortfall(ShortfallCode.TOO_SMALL, 0, ("r1",), 3, 4)


def test_the_cluster_is_the_domain_of_those_that_require_none():
    tree = topology({"a": "r1", "b": "r2"}, ("rack",))
    assert ask(tree, [2, 1], 4, preferred=0) == Shortfall(ShortfallCode.TOO_SMALL, ROOT, (), 3, 4)


def test_a_required_level_that_no_node_has_is_told_apart():
    tree = topology({"a": ("z", None), "b": ("z", None)}, ("zone", "rack"))
    assert ask(tree, [9, 9], 1, required=1).code is ShortfallCode.NO_DOMAIN


def test_a_node_without_the_required_label_is_never_used():
    tree = topology({"loose": ("z", None), "racked": "z/r"}, ("zone", "rack"))
    assert ask(tree, [9, 2], 3, required=1) == Shortfall(ShortfallCode.TOO_SMALL, 1, ("z", "r"), 2, 3)
    assert places(tree, ask(tree, [9, 2], 2, required=1)) == {"racked": 2}


def test_a_node_without_the_preferred_label_counts_as_a_domain_of_its_own():
    tree = topology({"loose": ("z", None), "a": "z/r", "b": "z/r"}, ("zone", "rack"))
    choice = ask(tree, [3, 2, 2], 6, required=0, preferred=1)
    assert names(tree, choice) == ["loose", "z/r"]
    assert choice.mask.all()


def test_the_narrowest_level_that_holds_all_is_taken():
    tree = topology({"a": "z/b1/r1", "b": "z/b1/r2", "c": "z/b2/r3"})
    assert ask(tree, [2, 2, 3], 3, preferred=RACK).level == RACK
    assert ask(tree, [2, 2, 3], 4, preferred=RACK).level == BLOCK
    assert ask(tree, [2, 2, 3], 5, preferred=RACK).level == ZONE
    assert ask(tree, [2, 2, 3], 3, required=ZONE, preferred=BLOCK).level == BLOCK


def test_without_a_preferred_level_the_required_one_is_not_narrowed():
    tree = topology({"a": "z/r1", "b": "z/r2"}, ("zone", "rack"))
    choice = ask(tree, [2, 2], 2, required=0)
    assert (choice.level, names(tree, choice), choice.mask.tolist()) == (0, ["z"], [True, True])


def test_a_preferred_level_wider_than_the_required_one_says_nothing_more():
    tree = topology({"a": "z/r1", "b": "z/r2"}, ("zone", "rack"))
    assert ask(tree, [2, 2], 2, required=1, preferred=0).level == 1
    assert isinstance(ask(tree, [2, 2], 3, required=1, preferred=0), Shortfall)


def test_a_domain_that_needs_fewer_parts_is_preferred_to_a_tighter_one():
    tree = topology({"a": "b1/r1", "b": "b1/r2", "c": "b1/r3", "d": "b2/r4", "e": "b2/r5"}, ("block", "rack"))
    choice = ask(tree, [2, 2, 2, 3, 5], 6, preferred=1)
    assert names(tree, choice) == ["b2/r4", "b2/r5"]


def test_of_equally_tight_racks_the_one_in_the_fuller_block_is_used():
    tree = topology({"a": "b1/r1", "b": "b1/r2", "c": "b2/r3", "d": "b2/r4"}, ("block", "rack"))
    assert names(tree, ask(tree, [4, 4, 4, 1], 4, required=1)) == ["b2/r3"]


def test_equal_domains_are_taken_in_the_order_of_their_paths():
    tree = topology({"n1": "r2", "n2": "r1"}, ("rack",))
    assert names(tree, ask(tree, [4, 4], 3, required=0)) == ["r1"]


def test_of_equal_racks_those_that_share_a_block_are_used():
    nodes = {f"n{block}{rack}": f"z/b{block}/r{rack}" for block in range(3) for rack in range(3)}
    tree = topology(nodes)
    choice = ask(tree, [1, 1, 0, 1, 1, 1, 1, 0, 0], 5, required=ZONE, preferred=RACK)
    assert {name[:4] for name in names(tree, choice)} == {"z/b0", "z/b1"}


def test_pods_are_laid_over_few_racks_and_then_few_nodes():
    tree = topology({"a": "b/r1", "b": "b/r1", "c": "b/r2", "d": "b/r2", "e": "b/r3"}, ("block", "rack"))
    choice = ask(tree, [2, 2, 3, 1, 2], 6, required=0)
    assert places(tree, choice) == {"a": 2, "b": 2, "e": 2}
    assert choice.leftover == 4
    assert places(tree, ask(tree, [2, 2, 3, 1, 2], 2, required=0)) == {"e": 2}


def test_growth_joins_the_domain_where_members_run():
    tree = topology({"a": "r1", "b": "r2"}, ("rack",))
    assert places(tree, ask(tree, [1, 9], 1, required=0, running=["a"])) == {"a": 1}
    missed = ask(tree, [1, 9], 2, required=0, running=["a"])
    assert missed == Shortfall(ShortfallCode.TOO_SMALL, 0, ("r1",), 1, 2)


def test_members_that_run_in_two_required_domains_are_told():
    tree = topology({"a": "r1", "b": "r2", "loose": ()}, ("rack",))
    assert ask(tree, [9, 9, 9], 1, required=0, running=["a", "b"]).code is ShortfallCode.PINNED_APART
    assert ask(tree, [9, 9, 9], 1, required=0, running=["loose"]).code is ShortfallCode.PINNED_APART


def test_racks_that_have_members_come_first_when_growth_needs_more():
    tree = topology({"a": "b/r1", "b": "b/r2", "c": "b/r3"}, ("block", "rack"))
    choice = ask(tree, [1, 3, 4], 4, preferred=1, running=["a"])
    assert places(tree, choice) == {"a": 1, "b": 3}
    assert names(tree, choice) == ["b/r1", "b/r2"]


def test_growth_that_fits_beside_the_members_opens_no_other_rack():
    tree = topology({"a": "b/r1", "b": "b/r2", "c": "b/r3"}, ("block", "rack"))
    choice = ask(tree, [1, 1, 2], 2, preferred=1, running=["a", "b"])
    assert places(tree, choice) == {"a": 1, "b": 1}


def test_a_class_that_does_not_ask_is_left_alone():
    tree = topology({"a": "r1", "b": "r2"}, ("rack",))
    offer = Offer.of(np.array([[1], [2]]), np.array([[3], [4]]), np.ones((2, 2), dtype=np.bool_))
    choice = choose(tree, Constraint(0), offer, np.array([0, 2]))
    assert choice.counts.tolist() == [[0, 0], [0, 2]]


def test_slots_are_what_the_scarcest_resource_allows():
    free = np.array([[8, 100], [9, 3], [-1, 50]])
    offer = Offer.of(np.array([[2, 1], [0, 0]]), free, np.array([[True, True, True], [True, False, True]]))
    assert offer.slots.tolist() == [[4, 3, 0], [2**31 - 1, 0, 2**31 - 1]]


def test_pods_that_ask_for_nothing_find_a_place():
    tree = topology({"a": "r1", "b": "r2"}, ("rack",))
    offer = Offer.of(np.array([[0]]), np.array([[0], [0]]), np.ones((1, 2), dtype=np.bool_))
    assert choose(tree, Constraint(0), offer, np.array([1000])).counts.sum() == 1000


def test_nothing_is_asked_for_and_nothing_is_there():
    tree, empty = topology({"a": "r1"}, ("rack",)), topology({}, ("rack",))
    assert ask(tree, [1], 0, required=0).counts.tolist() == [[0]]
    assert ask(empty, np.zeros(0, dtype=np.int64), 0).counts.tolist() == [[]]
    assert ask(empty, np.zeros(0, dtype=np.int64), 1) == Shortfall(ShortfallCode.TOO_SMALL, ROOT, (), 0, 1)
    assert ask(empty, np.zeros(0, dtype=np.int64), 1, required=0).code is ShortfallCode.NO_DOMAIN


def test_sixteen_levels_are_searched_from_the_narrowest():
    bits = {f"n{row:02}": tuple(str(row >> level) for level in range(15, -1, -1)) for row in range(64)}
    tree = topology(bits, tuple(f"level{level}" for level in range(16)))
    choice = ask(tree, np.ones(64, dtype=np.int64), 20, preferred=15)
    # 32 nodes are the smallest domain for 20, and they share the value `row >> 5`, five levels above the last.
    assert (choice.level, len(choice.cover)) == (10, 20)


def test_a_block_is_chosen_out_of_four_zones():
    tree = grid(4, 8, 8, 2)
    choice = ask(tree, np.full(512, 4), 64, required=ZONE, preferred=RACK)
    assert (choice.level, len(choice.cover), choice.leftover, choice.exact) == (BLOCK, 8, 0, True)


constraints = st.builds(Constraint, st.integers(-1, 2), st.integers(-1, 2))


@st.composite
def questions(draw, max_nodes=8):
    tree = draw(trees(max_nodes=max_nodes, levels=3))
    count = len(tree.nodes)
    slots = draw(st.lists(st.integers(0, 4), min_size=count, max_size=count))
    return tree, slots, draw(st.integers(1, 12)), draw(constraints)


@given(questions(), st.data())
@settings(max_examples=400)
def test_a_choice_is_the_best_of_all_covers(question, data):
    tree, slots, pods, constraint = question
    running = data.draw(st.one_of(st.just([]), st.lists(st.sampled_from(range(len(slots))), max_size=3)))
    offer, pinned = Offer.of_slots(np.array(slots)), np.array(running, dtype=np.int32)
    found = choose(tree, constraint, offer, np.array([pods]), pinned=pinned)
    best = reference.choice(tree, constraint, slots, pods, running)
    if isinstance(found, Shortfall):
        assert best is None
        return
    held = np.unique(tree.partition(found.cover_level)[pinned])
    new = np.setdiff1d(found.cover, held)
    used = np.isin(tree.partition(found.cover_level), new)
    left = int(np.array(slots)[used].sum() - found.counts[0][used].sum())
    assert (found.level, len(new), left) == best
    assert found.exact


@given(questions(), st.data())
def test_all_pods_have_places_within_the_slots_and_the_required_domain(question, data):
    tree, slots, pods, constraint = question
    running = data.draw(st.lists(st.sampled_from(tree.nodes), max_size=2))
    found = ask(tree, slots, pods, required=constraint.required, preferred=constraint.preferred, running=running)
    if isinstance(found, Shortfall):
        assert found.fits < pods or found.code is ShortfallCode.PINNED_APART
        return
    counts = found.counts[0]
    assert counts.sum() == pods
    assert (counts <= slots).all()
    assert not counts[~found.mask].any()
    assert found.leftover == np.array(slots)[found.mask].sum() - pods
    members = [*np.flatnonzero(counts).tolist(), *(tree.nodes.index(node) for node in running)]
    assert len(set(tree.partition(found.level)[members].tolist())) == 1
    if constraint.required != ROOT:
        domains = set(tree.domain_idx[constraint.required][members].tolist())
        assert len(domains) == 1
        assert domains != {-1}


@given(questions(), st.randoms())
def test_a_choice_does_not_depend_on_the_order_of_nodes(question, random):
    tree, slots, pods, constraint = question
    order = list(range(len(tree.nodes)))
    random.shuffle(order)
    levels = {"required": constraint.required, "preferred": constraint.preferred}
    found, again = ask(tree, slots, pods, **levels), ask(reordered(tree, order), np.array(slots)[order], pods, **levels)
    if isinstance(found, Shortfall):
        assert found == again
    else:
        assert found.mask[order].tolist() == again.mask.tolist()
        assert found.counts[:, order].tolist() == again.counts.tolist()


@given(questions(), st.data())
def test_more_room_never_makes_it_impossible(question, data):
    tree, slots, pods, constraint = question
    levels = {"required": constraint.required, "preferred": constraint.preferred}
    found = ask(tree, slots, pods, **levels)
    more = np.array(slots) + data.draw(st.lists(st.integers(0, 2), min_size=len(slots), max_size=len(slots)))
    again = ask(tree, more, pods, **levels)
    if isinstance(found, Choice):
        assert isinstance(again, Choice)
        assert again.level >= found.level
    elif isinstance(again, Shortfall):
        assert again.fits >= found.fits


@pytest.mark.parametrize("pods", [1, 100, 512, 1500])
def test_a_large_fragmented_cluster_is_answered_exactly(pods):
    tree = grid(4, 8, 8, 2)
    slots = np.random.default_rng(pods).integers(0, 8, 512)
    found = ask(tree, slots, pods, preferred=RACK)
    room = tree.sums(RACK, slots)
    owner = tree.upward(RACK, found.level)
    inside = sorted(room[owner == found.domain].tolist(), reverse=True)
    assert sum(inside[: len(found.cover)]) >= pods > sum(inside[: len(found.cover) - 1])
    assert (found.counts.sum(), found.exact) == (pods, True)
