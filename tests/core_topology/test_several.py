"""Parts of a podgroup that speak of different topologies: racks of the network, and NVLink domains, say."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.core.tables.domains import ROOT
from kai_py.core.topology.choice import ANYWHERE, Constraint, Offer, Shortfall, ShortfallCode
from kai_py.core.topology.parts import Arrangement, Part, wrap
from kai_py.core.topology.program import Budget
from kai_py.core.topology.several import arrange_across
from tests.core_topology import reference
from tests.core_topology.builders import pairs, topology, trees

NET, LINK = 0, 1
BLOCK, RACK = 0, 1
DOMAIN = 0


def both(nodes):
    """``nodes``: name -> ("block/rack", "domain")."""
    net = topology({name: path for name, (path, _) in nodes.items()}, ("block", "rack"))
    return net, topology({name: (path,) for name, (_, path) in nodes.items()}, ("domain",))


#: Two racks of four nodes; the NVLink domains of the second one reach into the first.
CROSSING = both(
    {
        "n0": ("b/r0", "d0"),
        "n1": ("b/r0", "d0"),
        "n2": ("b/r0", "d1"),
        "n3": ("b/r0", "d2"),
        "n4": ("b/r1", "d1"),
        "n5": ("b/r1", "d2"),
        "n6": ("b/r1", "d3"),
        "n7": ("b/r1", "d3"),
    }
)


def part(name, *demand, tree=NET, required=ROOT, preferred=ROOT, children=(), pinned=()):
    return Part(name, demand or (0,), Constraint(required, preferred), tuple(children), pinned, tree)


def ask(slots, podgroup, found_in=CROSSING, **options):
    return arrange_across(found_in, podgroup, Offer.of_slots(np.array(slots)), **options)


def nodes_of(found):
    assert isinstance(found, Arrangement), found
    return {leaf.name: sorted(np.repeat(leaf.nodes, leaf.counts.sum(axis=0)).tolist()) for leaf in found.leaves}


def test_a_subgroup_is_in_one_domain_of_its_topology_inside_the_rack_of_its_podgroup():
    podgroup = part("", required=RACK, children=[part("a", 2, tree=LINK, required=DOMAIN)])
    found = ask([0, 1, 1, 0, 1, 0, 1, 1], podgroup)
    assert nodes_of(found) == {"a": [6, 7]}
    assert found.exact


def test_domains_that_cross_the_rack_hold_only_what_they_have_there():
    podgroup = part("", required=RACK, children=[part("a", 2, tree=LINK, required=DOMAIN), part("b", 1)])
    assert nodes_of(ask([1, 0, 1, 0, 1, 0, 1, 1], podgroup)) == {"a": [6, 7], "b": [4]}
    found = ask([1, 0, 1, 0, 1, 0, 1, 0], podgroup)
    assert (found.code, found.level, found.fits, found.pods) == (ShortfallCode.TOO_SMALL, RACK, 2, 3)
    found = ask([0, 1, 1, 1, 1, 1, 0, 1], podgroup)
    assert (found.code, found.domain) == (ShortfallCode.PARTS_COLLIDE, ("b", "r0"))
    assert found.exact


def test_siblings_speak_of_different_topologies():
    a, b = part("a", 3, required=RACK), part("b", 2, tree=LINK, required=DOMAIN)
    found = ask([1, 1, 1, 1, 0, 0, 0, 0], part("", children=[a, b]))
    assert (found.code, found.fits, found.pods) == (ShortfallCode.TOO_SMALL, 4, 5)
    found = ask([1, 1, 1, 1, 1, 0, 0, 0], part("", children=[a, b]))
    # The domain that crosses the racks is the only one that leaves three nodes of a rack.
    assert nodes_of(found) == {"a": [0, 1, 3], "b": [2, 4]}


def test_a_preference_inside_gives_way_and_is_kept_where_it_can_be():
    pair = part("a", 2, tree=LINK, preferred=DOMAIN)
    found = ask([1, 0, 1, 0, 0, 0, 0, 0], part("", required=RACK, children=[pair]))
    assert (nodes_of(found), found.misses) == ({"a": [0, 2]}, 1)
    found = ask([1, 0, 1, 0, 0, 0, 1, 1], part("", required=RACK, children=[pair]))
    assert (nodes_of(found), found.misses) == ({"a": [6, 7]}, 0)


def test_a_part_that_fits_nowhere_is_told_in_its_own_topology():
    podgroup = part("", required=RACK, children=[part("a", 3, tree=LINK, required=DOMAIN)])
    found = ask([1] * 8, podgroup)
    assert (found.code, found.tree, found.level, found.domain) == (
        ShortfallCode.PART_TOO_LARGE,
        LINK,
        DOMAIN,
        ("d0",),
    )
    assert (found.fits, found.pods, found.part) == (2, 3, "a")


def test_equal_parts_that_do_not_fit_together_are_told_so():
    pairs = [part(f"p{n}", 2, tree=LINK, required=DOMAIN) for n in range(3)]
    found = ask([2, 0, 1, 0, 0, 1, 0, 2], part("", children=pairs))
    assert (found.code, found.tree, found.level, found.fits, found.pods) == (
        ShortfallCode.PART_TOO_LARGE,
        LINK,
        ROOT,
        4,
        6,
    )


def test_members_that_run_apart_are_told_in_their_own_topology():
    podgroup = part("", children=[part("a", 1, tree=LINK, required=DOMAIN, pinned=(0, 4)), part("b", 1, required=RACK)])
    found = ask([1] * 8, podgroup)
    assert (found.code, found.tree, found.part) == (ShortfallCode.PINNED_APART, LINK, "a")


def test_new_members_join_those_that_run_in_every_topology():
    podgroup = part(
        "", required=BLOCK, children=[part("a", 1, tree=LINK, required=DOMAIN, pinned=(5,)), part("b", 1, pinned=(0,))]
    )
    assert nodes_of(ask([9, 0, 0, 1, 9, 0, 9, 9], podgroup))["a"] == [3]


def test_without_a_search_the_greedy_answer_stands_and_says_so():
    a, b = part("a", 3, required=RACK), part("b", 2, tree=LINK, required=DOMAIN)
    with patch("kai_py.core.topology.several._Fill.fill", return_value=False):
        found = ask([1, 1, 1, 1, 1, 0, 0, 0], part("", children=[a, b]), budget=Budget(searches=0))
    assert isinstance(found, Shortfall)
    assert not found.exact


def test_a_hundred_pairs_in_nvlink_domains_inside_one_block():
    """Equal parts are many: nothing is listed that can be counted."""
    nodes = {
        f"n{b}-{r}-{n:02}": (f"b{b}/r{r}", f"d{b}-{r}-{n // 4}") for b in range(2) for r in range(8) for n in range(16)
    }
    pairs = [part(f"p{n:03}", 2, tree=LINK, required=DOMAIN) for n in range(100)]
    found = ask([2] * len(nodes), part("", required=BLOCK, children=pairs), found_in=both(nodes))
    assert isinstance(found, Arrangement)
    link = both(nodes)[LINK].partition(DOMAIN)
    assert all(len(set(link[here].tolist())) == 1 for here in nodes_of(found).values())


@st.composite
def questions(draw):
    net = draw(trees(max_nodes=5, levels=2))
    labels = draw(st.lists(st.sampled_from(["d", "e", None]), min_size=len(net.nodes), max_size=len(net.nodes)))
    found_in = net, topology({name: (label,) for name, label in zip(net.nodes, labels, strict=True)}, ("domain",))
    classes = draw(st.integers(1, 2))
    names = iter("abcdefgh")

    def constrained(name, demand, children=()):
        tree = draw(st.sampled_from([NET, LINK]))
        level = st.sampled_from([ROOT, *range(len(found_in[tree].levels))])
        required, preferred = draw(level), draw(level)
        return Part(name, demand, Constraint(required, max(preferred, required)), tuple(children), (), tree)

    def pods():
        return tuple(draw(st.lists(st.integers(0, 2), min_size=classes, max_size=classes)))

    def any_part(depth):
        name = next(names)
        if depth and draw(st.booleans()):
            return constrained(name, (0,) * classes, (any_part(0), any_part(0)))
        return constrained(name, pods())

    children = [any_part(1) for _ in range(draw(st.integers(1, 2)))]
    if draw(st.booleans()):
        children.append(replace(children[0], name="twin", children=()))
    root = constrained("", (0,) * classes, children)

    if not 1 <= wrap(root).box.size <= 6:
        root = replace(root, children=(constrained("a", (1,) * classes),))
    return found_in, root, draw(pairs(classes, 1, 2)), draw(pairs(len(net.nodes), 0, 4))


def answer(found_in, root, request, free, **options):
    allowed = np.ones((len(request), len(free)), dtype=np.bool_)
    return arrange_across(found_in, root, Offer.of(request, free, allowed), **options)


@pytest.mark.parametrize("greedy", [True, False])
@given(question=questions())
@settings(max_examples=200, deadline=None)
def test_an_arrangement_is_the_best_of_all(greedy, question):
    found_in, root, request, free = question
    if greedy:
        found = answer(found_in, root, request, free)
    else:
        with patch("kai_py.core.topology.several._Fill.fill", return_value=False):
            found = answer(found_in, root, request, free)
    got = (found.level, found.misses) if isinstance(found, Arrangement) else None
    assert got == reference.arrangement_across(found_in, root, request.tolist(), free)
    assert found.exact


@given(questions(), st.sampled_from([0, 32]))
@settings(max_examples=200, deadline=None)
def test_all_leaves_are_where_every_part_around_them_requires(question, searches):
    found_in, root, request, free = question
    found = answer(found_in, root, request, free, budget=Budget(searches=searches))
    if isinstance(found, Shortfall):
        return
    used, places = np.zeros_like(free), {leaf.name: leaf for leaf in found.leaves}
    for leaf in found.leaves:
        np.add.at(used, leaf.nodes, leaf.counts.T @ request)
    assert (used <= free).all()

    def check(one):
        """Nodes of a part; its leaf has all its pods."""
        nodes = [node for child in one.children for node in check(child)]
        if any(one.demand):
            assert places[one.name].counts.sum(axis=1).tolist() == list(one.demand)
            nodes += places[one.name].nodes.tolist()
        if one.constraint != ANYWHERE and one.constraint.required != ROOT and nodes:
            domains = {int(found_in[one.tree].domain_idx[one.constraint.required, node]) for node in nodes}
            assert len(domains) == 1
            assert domains != {-1}
        return nodes

    check(root)
