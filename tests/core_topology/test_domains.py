import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.tables.domains import ROOT, Level, Topology
from kai_py.core.tables.labels import ABSENT, LabelColumn
from kai_py.errors import InputError
from tests.core_topology.builders import column, reordered, topology, trees


def test_the_same_rack_name_in_two_blocks_makes_two_domains():
    tree = topology({"n1": "b1/r1", "n2": "b2/r1", "n3": "b1/r1"}, ("block", "rack"))
    assert tree.domain_idx.tolist() == [[0, 1, 0], [0, 1, 0]]
    assert tree.paths[1] == (("b1", "r1"), ("b2", "r1"))
    assert tree.parents[1].tolist() == [0, 1]


def test_domains_are_sorted_by_path():
    tree = topology({"n1": "b2/r1", "n2": "b1/r9", "n3": "b1/r2"}, ("block", "rack"))
    assert tree.paths == ((("b1",), ("b2",)), (("b1", "r2"), ("b1", "r9"), ("b2", "r1")))
    assert tree.domain_idx[1].tolist() == [2, 1, 0]


def test_a_node_belongs_to_domains_down_to_its_last_consecutive_level():
    tree = topology({"whole": "z/b/r", "no-rack": "z/b", "no-block": ("z", None, "r"), "nothing": ()}, None)
    assert tree.domain_idx.tolist() == [[0, 0, 0, -1], [0, 0, -1, -1], [0, -1, -1, -1]]
    assert tree.depth.tolist() == [3, 2, 1, 0]
    assert tree.outside(2).tolist() == [1, 2, 3]
    assert tree.outside(0).tolist() == [3]


def test_a_node_without_a_domain_is_a_part_of_its_own():
    tree = topology({"b": (), "a": (), "c": "r1", "d": "r1"}, ("rack",))
    assert tree.partition(0).tolist() == [2, 1, 0, 0]
    assert [tree.name_of(0, part) for part in range(3)] == [("r1",), ("a",), ("b",)]
    assert tree.partition(ROOT).tolist() == [0, 0, 0, 0]
    assert tree.parts(1) == 4


def test_an_empty_label_value_is_a_value():
    empty = LabelColumn(np.array([1, ABSENT], dtype=np.int32), {"": 1})
    tree = Topology.of("t", [Level("example.com/rack")], [empty], ["a", "b"])
    assert tree.domain_idx.tolist() == [[0, -1]]


def test_numbers_of_values_may_have_gaps():
    gaps = LabelColumn(np.array([7, 3], dtype=np.int32), {"y": 7, "x": 3})
    assert Topology.of("t", [Level("example.com/rack")], [gaps], ["a", "b"]).domain_idx.tolist() == [[1, 0]]


def test_levels_are_found_by_label_and_by_alias():
    tree = Topology.of("t", [Level("a.com/z", "zone"), Level("zone")], [column(["x"]), column(["y"])], ["n"])
    assert (tree.level("a.com/z"), tree.level("zone"), tree.level("rack")) == (0, 1, None)


def test_sixteen_levels_are_laid_out_and_seventeen_refused():
    def deep(levels):
        names = [Level(f"l{row}") for row in range(levels)]
        return Topology.of("deep", names, [column(["x", "y"])] * levels, ["a", "b"])

    assert deep(16).domain_idx.tolist() == [[0, 1]] * 16
    with pytest.raises(InputError, match=r"Topology deep: spec\.levels: 17 levels; there may be 1 to 16"):
        deep(17)
    with pytest.raises(InputError, match="0 levels"):
        deep(0)


def test_a_label_that_stands_twice_is_refused_by_name():
    levels = [Level("rack"), Level("block"), Level("rack")]
    with pytest.raises(InputError, match=r"Topology t: spec\.levels\[2\]\.nodeLabel: rack is a level already"):
        Topology.of("t", levels, [column(["x"])] * 3, ["n"])


def test_a_cluster_without_nodes_has_levels_and_no_domains():
    tree = Topology.of("t", [Level("rack")], [column([])], [])
    assert tree.domain_idx.shape == (1, 0)
    assert tree.paths == ((),)


@given(trees(levels=3), st.randoms())
def test_domains_do_not_depend_on_the_order_of_nodes(tree, random):
    order = list(range(len(tree.nodes)))
    random.shuffle(order)
    other = reordered(tree, order)
    assert other.paths == tree.paths
    assert [rows.tolist() for rows in other.parents] == [rows.tolist() for rows in tree.parents]
    for level in range(ROOT, 4):
        assert other.partition(level).tolist() == tree.partition(level)[order].tolist()


@given(trees(levels=3))
def test_every_level_refines_the_one_above(tree):
    for level in range(4):
        above = tree.upward(level, level - 1)
        assert above[tree.partition(level)].tolist() == tree.partition(level - 1).tolist()
        domains = len(tree.paths[level]) if level < 3 else 0
        if 0 < level < 3:
            assert above[:domains].tolist() == tree.parents[level].tolist()


@given(trees(levels=2), st.data())
def test_sums_over_parts_are_those_of_their_nodes(tree, data):
    amounts = np.array(data.draw(st.lists(st.integers(0, 2**60), min_size=len(tree.nodes), max_size=len(tree.nodes))))
    amounts //= 8
    for level in range(ROOT, 3):
        sums = tree.sums(level, amounts)
        for part in range(tree.parts(level)):
            assert sums[part] == sum(amounts[tree.partition(level) == part].tolist())
