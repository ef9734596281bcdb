from dataclasses import fields, replace

import numpy as np
import pytest

from kai_py.core.tables.seal import seal
from kai_py.core.tables.snapshot import Snapshot
from tests.core.builders import Gang, Node, Queue, cluster, running


def sealed(**tables):
    """The tables of a small cluster, some of them replaced, sealed again."""
    snapshot = cluster(
        nodes={"a": Node(labels={"zone": "x"}), "b": 8},
        queues={"lab": Queue(), "q": Queue("lab")},
        gangs={"g": Gang([running("a")]), "h": 2},
    )
    found = {field.name: getattr(snapshot, field.name) for field in fields(snapshot)}
    for table, columns in tables.items():
        found[table] = replace(found[table], **columns)
    return seal(Snapshot(**found))


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("nodes", "allocatable", np.zeros((2, 3), dtype=np.int64)),
        ("nodes", "ready", np.ones(3, dtype=np.bool_)),
        ("pods", "state", np.zeros(2, dtype=np.uint8)),
        ("queues", "quota", np.zeros((2, 4))),
        ("podgroups", "offset", np.array([0, 1])),
        ("classes", "accounted", np.zeros((1, 4), dtype=np.int64)),
    ],
)
def test_a_column_of_the_wrong_size_is_refused_by_name(table, column, value):
    with pytest.raises(ValueError, match=rf"{table}\.{column} is"):
        sealed(**{table: {column: value}})


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("pods", "class_idx", [0, 0, 9]),
        ("pods", "class_idx", [0, 0, -1]),
        ("pods", "node_idx", [2, -1, -1]),
        ("pods", "subgroup_idx", [0, 1, 2]),
        ("podgroups", "queue_idx", [0, 2]),
        ("subgroups", "podgroup_idx", [0, -1]),
        ("subgroups", "parent", [-2, -1]),
        ("queues", "parent", [-1, 2]),
    ],
)
def test_a_row_number_that_points_nowhere_is_refused_by_name(table, column, value):
    with pytest.raises(ValueError, match=rf"{table}\.{column} points"):
        sealed(**{table: {column: np.array(value, dtype=np.int32)}})


def test_no_array_of_a_snapshot_can_be_written():
    snapshot = sealed()
    for array in (
        snapshot.nodes.allocatable,
        snapshot.nodes.labels.columns["zone"].codes,
        snapshot.pods.state,
        snapshot.podgroups.offset,
        snapshot.queues.quota,
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_path_leads_from_a_queue_to_the_top():
    queues = sealed().queues
    assert queues.paths == ((0,), (1, 0))
    assert queues.leaf.tolist() == [False, True]


def test_ceilings_are_looked_for_only_where_there_are_any():
    queues = cluster(
        nodes={}, queues={"lab": Queue(limit=4), "q": Queue("lab", quota=1), "r": Queue("q", limit=2)}
    ).queues
    assert queues.limited == ((0,), (0,), (2, 0))
    assert queues.with_quota == ((), (1,), (1,))
