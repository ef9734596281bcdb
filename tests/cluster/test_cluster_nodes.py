from __future__ import annotations

import pytest
from msgspec.structs import replace

from kai_py.api.node import ContainerImage
from kai_py.cluster.encode.axis import MOST, Accounting, make_axis
from kai_py.cluster.nodes import NodeBook
from kai_py.core.tables.nodes import NodeTable, Taint
from tests.cluster.objects import GPU, NOW, a_store, node, timestamp

AXIS = make_axis({GPU}, Accounting())


def book(*nodes: object) -> NodeBook:
    made = NodeBook()
    for each in nodes:
        made.put(each)
    return made


def table(*nodes: object) -> NodeTable:
    return book(*nodes).table(AXIS)


def test_nodes_are_sorted_by_name_and_measured_in_base_units():
    found = table(node("b", gpus=4), node("a"))
    assert found.names == ("a", "b")
    assert found.allocatable.tolist() == [[64000, 512 * 2**30, 110, 8000], [64000, 512 * 2**30, 110, 4000]]


@pytest.mark.parametrize(("status", "ready"), [("True", True), ("False", False), ("Unknown", False)])
def test_a_node_is_ready_when_its_condition_says_so(status, ready):
    assert table(node("a", ready=status)).ready.tolist() == [ready]


def test_cordons_and_taints_are_columns():
    found = table(node("a", unschedulable=True), node("b", taints=["x", "y"]), node("c", taints=["y"]))
    assert found.cordoned.tolist() == [True, False, False]
    assert found.taints == (Taint("x", "", "NoSchedule"), Taint("y", "", "NoSchedule"))
    assert found.tainted.tolist() == [[False, False], [True, True], [False, True]]


def test_labels_are_columns_of_numbers():
    column = table(node("a", labels={"rack": "r2"}), node("b"), node("c", labels={"rack": "r1"})).labels.column("rack")
    numbers = column.vocabulary
    assert column.codes.tolist() == [numbers["r2"], 0, numbers["r1"]]


def test_a_heartbeat_changes_nothing_and_makes_no_new_table():
    nodes = book(node("a"), node("b"))
    before = nodes.table(AXIS)
    assert not nodes.put(node("a", beat=7))
    assert nodes.table(AXIS) is before


@pytest.mark.parametrize(
    "changed",
    [
        node("a", gpus=7),
        node("a", labels={"x": "y"}),
        node("a", taints=["t"]),
        node("a", ready="False"),
        node("a", unschedulable=True),
        node("a", more={"example.com/x": 1}),
    ],
)
def test_whatever_a_cycle_reads_makes_a_new_table_and_leaves_the_old_one(changed):
    nodes = book(node("a"), node("b"))
    before = nodes.table(AXIS)
    assert nodes.put(changed)
    assert nodes.table(AXIS) is not before
    assert before.allocatable[0].tolist() == [64000, 512 * 2**30, 110, 8000]


def test_labels_are_shared_between_tables_that_differ_in_something_else():
    nodes = book(node("a", labels={"rack": "r1"}))
    before = nodes.table(AXIS)
    nodes.put(node("a", labels={"rack": "r1"}, unschedulable=True))
    assert nodes.table(AXIS).labels is before.labels


def test_a_node_that_cannot_be_read_keeps_its_last_good_state_and_a_new_one_is_left_out():
    nodes = book(node("a", gpus=4))
    assert not nodes.put(node("a", gpus="many"))
    assert not nodes.put(node("b", gpus="many"))
    found = nodes.table(AXIS)
    assert found.names == ("a",)
    assert found.allocatable[0, 3] == 4000
    assert nodes.faults["a"][0].field == f"status.allocatable.{GPU}"
    nodes.put(node("a"))
    nodes.drop("b")
    assert not nodes.faults


def test_the_stores_faults_name_the_node():
    faults = a_store(node("c", gpus="many")).faults["Node", "c"]
    assert [(fault.where, fault.field) for fault in faults] == [("Node c", f"status.allocatable.{GPU}")]


def test_negative_amounts_are_none_and_absurd_ones_saturate():
    found = table(node("a", gpus="-3", more={"memory": "8Ei"}))
    assert found.allocatable.tolist() == [[64000, MOST, 110, 0]]


def test_resources_are_known_as_long_as_a_node_offers_them():
    nodes = book(node("a", more={"x/y": 1}), node("b", more={"x/y": 1}))
    nodes.drop("a")
    assert "x/y" in nodes.resources
    nodes.put(node("b"))
    assert "x/y" not in nodes.resources


def test_rows_move_when_a_node_comes_or_goes():
    nodes = book(node("b"))
    nodes.table(AXIS)
    assert nodes.row_of == {"b": 0}
    nodes.put(node("a"))
    nodes.table(AXIS)
    assert nodes.row_of == {"a": 0, "b": 1}
    assert nodes.drop("a")
    assert not nodes.drop("a")
    nodes.table(AXIS)
    assert nodes.row_of == {"b": 0}


def test_a_node_that_is_being_deleted_is_not_ready():
    store = a_store()
    leaving = node("a")
    assert store.take(NOW).nodes.ready.tolist() == [True, True]
    meta = type(leaving.metadata)(name="a", deletion_timestamp=timestamp(NOW))
    store.put_node(type(leaving)(metadata=meta, spec=leaving.spec, status=leaving.status))
    assert store.take(NOW).nodes.ready.tolist() == [False, True]


def test_features_that_nodes_declare_are_columns_and_matter():
    def declaring(name, *features):
        made = node(name)
        return replace(made, status=replace(made.status, declared_features=features))

    found = table(declaring("a", "x", "y"), declaring("b", "y"), node("c"))
    assert {feature: mask.tolist() for feature, mask in found.declares.items()} == {
        "x": [True, False, False],
        "y": [True, True, False],
    }
    kept = book(declaring("a", "x"))
    assert not kept.put(declaring("a", "x"))
    assert kept.put(declaring("a", "x", "y"))


def test_images_are_remembered_where_somebody_asks_and_wake_nobody():
    def having(name, **images):
        made = node(name)
        found = [ContainerImage((f"x/{image}:1", f"x/{image}@sha256:0"), size) for image, size in images.items()]
        return replace(made, status=replace(made.status, images=tuple(found)))

    kept = book(having("a", one=5))
    assert kept.table(AXIS).images == {}
    kept.heeds_images = True
    assert not kept.put(having("a", one=5))
    assert kept.put(having("b", one=6, two=7))
    found = {image: sizes.tolist() for image, sizes in kept.table(AXIS).images.items()}
    assert found["x/one:1"] == found["x/one@sha256:0"] == [5, 6]
    assert found["x/two:1"] == [0, 7]
    kept.heeds_images = False
    kept.put(having("a", one=5))
    kept.drop("b")
    assert kept.table(AXIS).images == {}
