import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.core.tables.domains import ROOT
from kai_py.core.topology.choice import Choice, Constraint, Offer, Shortfall, ShortfallCode
from kai_py.core.topology.choose import choose
from kai_py.core.topology.packing import Load, greedy, pack
from kai_py.core.topology.program import Budget, Outcome, Program
from tests.core_topology import reference
from tests.core_topology.builders import reordered, topology, trees

GIB = 1 << 30


def everywhere(request, free):
    return Offer.of(np.array(request), np.array(free), np.ones((len(request), len(free)), dtype=np.bool_))


def names(tree, choice):
    return sorted("/".join(tree.name_of(choice.cover_level, part)) for part in choice.cover.tolist())


def test_a_launcher_and_its_workers_share_a_rack():
    tree = topology({"a": "r1", "b": "r1", "c": "r2", "d": "r2"}, ("rack",))
    # Either rack takes the launcher, and either the workers; only r2 takes both.
    offer = everywhere([[4, 0], [1, 8]], [[4, 8], [1, 8], [5, 8], [1, 8]])
    choice = choose(tree, Constraint(0), offer, np.array([1, 2]))
    assert names(tree, choice) == ["r2"]
    assert choice.counts.tolist() == [[0, 0, 1, 0], [0, 0, 1, 1]]
    assert choice.exact


def test_a_packing_that_greedy_orders_miss_is_found():
    # 6+4 and 5+5 fill the nodes; the largest first, or the tightest node first, leaves one out.
    request, demand = [[6], [5], [4], [3]], [1, 2, 1, 2]
    load = Load.of(everywhere(request, [[10], [10], [6]]), np.array(demand))
    assert greedy(load).sum() < 6
    packing = pack(load, Budget())
    assert packing.counts.sum(axis=1).tolist() == demand
    assert (packing.counts.T @ np.array(request) <= [[10], [10], [6]]).all()


def test_sums_alone_refute_what_they_can_and_a_search_the_rest():
    load = Load.of(everywhere([[3], [2]], [[4], [4]]), np.array([2, 1]))
    assert pack(load, Budget(searches=0)).proven is False
    assert pack(load, Budget()).proven is True
    assert pack(Load.of(everywhere([[3], [2]], [[4], [3]]), np.array([2, 1])), Budget(searches=0)).proven is True


def test_bytes_are_compared_to_the_byte():
    tree = topology({"a": "r1"}, ("rack",))
    request = [[3 * GIB + 1], [2 * GIB]]
    assert isinstance(choose(tree, Constraint(0), everywhere(request, [[5 * GIB + 1]]), np.array([1, 1])), Choice)
    assert isinstance(choose(tree, Constraint(0), everywhere(request, [[5 * GIB]]), np.array([1, 1])), Shortfall)


def test_what_is_missing_is_told_with_the_nearest_domain():
    tree = topology({"a": "r1", "b": "r2"}, ("rack",))
    offer = everywhere([[1, 0], [0, 1]], [[1, 1], [2, 1]])
    missed = choose(tree, Constraint(0), offer, np.array([2, 2]))
    assert missed == Shortfall(ShortfallCode.TOO_SMALL, 0, ("r2",), 3, 4)


def test_few_racks_are_used_when_one_is_not_enough():
    tree = topology({"a": "b/r1", "b": "b/r2", "c": "b/r3"}, ("block", "rack"))
    offer = everywhere([[2, 0], [0, 2]], [[2, 2], [6, 0], [2, 8]])
    choice = choose(tree, Constraint(0, 1), offer, np.array([4, 3]))
    assert (choice.level, names(tree, choice), choice.exact) == (0, ["b/r2", "b/r3"], True)


def test_of_covers_with_as_few_racks_the_tighter_one_is_used():
    tree = topology({"a": "b/r1", "b": "b/r2", "c": "b/r3"}, ("block", "rack"))
    offer = everywhere([[2], [1]], [[5], [8], [4]])
    assert names(tree, choose(tree, Constraint(0, 1), offer, np.array([3, 3]))) == ["b/r1", "b/r3"]


def test_racks_with_members_cost_nothing():
    tree = topology({"a": "b/r1", "b": "b/r2", "c": "b/r3"}, ("block", "rack"))
    offer = everywhere([[2], [1]], [[1], [3], [9]])
    pinned = np.array([0], dtype=np.int32)
    choice = choose(tree, Constraint(0, 1), offer, np.array([1, 2]), pinned=pinned)
    assert names(tree, choice) == ["b/r1", "b/r2"]


def test_without_a_search_the_answer_says_that_it_may_not_be_the_best():
    tree = topology({"a": "b/r1", "b": "b/r2", "c": "b/r3"}, ("block", "rack"))
    offer = everywhere([[2], [1]], [[5], [9], [4]])
    choice = choose(tree, Constraint(0, 1), offer, np.array([3, 4]), budget=Budget(searches=0))
    assert choice.exact is False
    assert choice.counts.sum(axis=1).tolist() == [3, 4]


def test_a_budget_is_used_up_by_the_calls_that_share_it():
    tree = topology({"a": "b/r1", "b": "b/r2", "c": "b/r3"}, ("block", "rack"))
    offer, budget = everywhere([[2], [1]], [[5], [9], [4]]), Budget(searches=1)
    assert choose(tree, Constraint(0, 1), offer, np.array([3, 4]), budget=budget).exact
    assert budget.searches == 0
    assert not choose(tree, Constraint(0, 1), offer, np.array([3, 4]), budget=budget).exact


def test_a_program_says_what_it_has_shown():
    program = Program()
    x, y = program.variable(most=3, cost=-3), program.variable(most=3, cost=-4)
    program.row([(x, 2.0), (y, 3.0)], most=7)
    outcome, solution = program.solve(Budget())
    assert (outcome, solution.tolist()) == (Outcome.OPTIMAL, [2, 1])
    program.row([(x, 1.0), (y, 1.0)], least=4)
    assert program.solve(Budget())[0] is Outcome.INFEASIBLE
    assert program.solve(Budget(variables=1))[0] is Outcome.UNKNOWN
    assert Program().solve(Budget())[0] is Outcome.OPTIMAL


@st.composite
def questions(draw):
    tree = draw(trees(max_nodes=5, levels=2))
    nodes, classes = len(tree.nodes), draw(st.integers(2, 3))

    def table(rows, most, least=0):
        return draw(st.lists(st.lists(st.integers(least, most), min_size=2, max_size=2), min_size=rows, max_size=rows))

    allowed = draw(
        st.lists(st.lists(st.integers(0, 9), min_size=nodes, max_size=nodes), min_size=classes, max_size=classes)
    )
    demand = draw(st.lists(st.integers(1, 3), min_size=classes, max_size=classes))
    constraint = Constraint(draw(st.integers(-1, 1)), draw(st.integers(-1, 1)))
    return (
        tree,
        constraint,
        np.array(table(classes, 4)),
        np.array(demand),
        np.array(table(nodes, 7, -1)),
        (np.array(allowed) > 0),
    )


@given(questions())
@settings(max_examples=150, deadline=None)
def test_a_choice_is_the_best_of_all_packings(question):
    tree, constraint, request, demand, free, allowed = question
    found = choose(tree, constraint, Offer.of(request, free, allowed), demand)
    got = (found.level, len(found.cover)) if isinstance(found, Choice) else None
    assert got == reference.mixed_choice(tree, constraint, request.tolist(), demand.tolist(), free, allowed)
    assert found.exact


@given(questions(), st.sampled_from([0, 32]))
@settings(max_examples=150, deadline=None)
def test_all_pods_have_places_that_nodes_can_bear(question, searches):
    tree, constraint, request, demand, free, allowed = question
    found = choose(tree, constraint, Offer.of(request, free, allowed), demand, budget=Budget(searches=searches))
    if isinstance(found, Shortfall):
        assert found.fits < demand.sum() or not found.exact
        return
    assert found.counts.sum(axis=1).tolist() == demand.tolist()
    assert (found.counts.T @ request <= np.maximum(free, 0)).all()
    assert not found.counts[~allowed].any()
    assert not found.counts[:, ~found.mask].any()
    nodes = np.flatnonzero(found.counts.any(axis=0))
    assert len(set(tree.partition(found.level)[nodes].tolist())) == 1
    if constraint.required != ROOT:
        assert (tree.domain_idx[constraint.required, nodes] >= 0).all()


@given(questions(), st.randoms())
@settings(max_examples=60, deadline=None)
def test_a_choice_does_not_depend_on_the_order_of_nodes(question, random):
    tree, constraint, request, demand, free, allowed = question
    order = list(range(len(tree.nodes)))
    random.shuffle(order)
    found = choose(tree, constraint, Offer.of(request, free, allowed), demand)
    again = choose(reordered(tree, order), constraint, Offer.of(request, free[order], allowed[:, order]), demand)
    if isinstance(found, Shortfall):
        assert found == again
    else:
        assert found.mask[order].tolist() == again.mask.tolist()
        assert found.counts[:, order].tolist() == again.counts.tolist()


@given(questions(), st.data())
@settings(max_examples=60, deadline=None)
def test_more_room_never_makes_it_impossible(question, data):
    tree, constraint, request, demand, free, allowed = question
    found = choose(tree, constraint, Offer.of(request, free, allowed), demand)
    more = free + np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(free), max_size=len(free))))[:, None]
    again = choose(tree, constraint, Offer.of(request, more, allowed), demand)
    if isinstance(found, Choice):
        assert isinstance(again, Choice)
        assert again.level >= found.level
