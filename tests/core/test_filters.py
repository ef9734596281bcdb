"""Hard constraints, as Kubernetes means them."""

import dataclasses

import numpy as np
import pytest

from kai_py.core.filters.declared_features import declared_features
from kai_py.core.filters.exclusion import exclusion
from kai_py.core.filters.node_affinity import node_affinity
from kai_py.core.filters.node_name import node_name
from kai_py.core.filters.node_ready import node_ready
from kai_py.core.filters.resources import fits, shortages
from kai_py.core.filters.taints import cordoned, taints
from kai_py.core.tables.classes import NodeTerm, PodClass, Requirement, Toleration
from kai_py.core.tables.nodes import Taint
from tests.core.builders import AXIS, Node, Pod, cluster

GPU, CPU, SLOTS = (AXIS.index[name] for name in ("nvidia.com/gpu", "cpu", "pods"))


def passing(filter_, pod, **nodes):
    """Names of the nodes that a filter lets a pod go to."""
    table = cluster(nodes=nodes).nodes
    return [name for name, allowed in zip(table.names, filter_(pod.pod_class(), table), strict=True) if allowed]


def labelled(**values):
    """One node per value; a node called ``none`` has no label."""
    return {name: Node(labels={} if value is None else {"key": value}) for name, value in values.items()}


def matching(operator, *values, **nodes):
    term = NodeTerm(labels=(Requirement("key", operator, values),))
    return passing(node_affinity, Pod(required=(term,)), **labelled(**nodes))


NODES = {"one": "1", "two": "2", "none": None}


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ["1"], ["one"]),
        ("In", ["1", "2"], ["one", "two"]),
        ("In", ["9"], []),
        ("NotIn", ["1"], ["none", "two"]),
        ("NotIn", ["9"], ["none", "one", "two"]),
        ("Exists", [], ["one", "two"]),
        ("DoesNotExist", [], ["none"]),
        ("Gt", ["1"], ["two"]),
        ("Lt", ["2"], ["one"]),
    ],
)
def test_each_operator_means_what_it_means_in_kubernetes(operator, values, expected):
    assert matching(operator, *values, **NODES) == expected


@pytest.mark.parametrize("operator", ["In", "Exists", "Gt", "Lt"])
def test_a_label_that_no_node_has_matches_nothing(operator):
    assert matching(operator, "1", a=None, b=None) == []


def test_absent_labels_satisfy_what_must_not_be_there():
    assert matching("NotIn", "1", a=None) == ["a"]
    assert matching("DoesNotExist", a=None) == ["a"]


@pytest.mark.parametrize("value", ["many", "", "1_0", "1.5", "0x9", "9" * 30, "-+5"])
def test_a_label_that_is_no_integer_is_neither_greater_nor_less(value):
    assert matching("Gt", "0", a=value) == []
    assert matching("Lt", "0", a=value) == []


@pytest.mark.parametrize("bound", ["many", "1_0", "", "9" * 30])
def test_a_bound_that_is_no_integer_matches_nothing(bound):
    assert matching("Gt", bound, a="5") == []
    assert matching("Lt", bound, a="5") == []


def test_integers_are_compared_exactly():
    assert matching("Gt", "9007199254740992", a="9007199254740993", b="9007199254740992") == ["a"]
    assert matching("Lt", "0", a="-5") == ["a"]


def test_expressions_of_a_term_must_all_match_and_of_terms_any():
    both = NodeTerm(labels=(Requirement("key", "Exists"), Requirement("key", "NotIn", ("1",))))
    one = NodeTerm(labels=(Requirement("key", "In", ("1",)),))
    assert passing(node_affinity, Pod(required=(both,)), **labelled(**NODES)) == ["two"]
    assert passing(node_affinity, Pod(required=(both, one)), **labelled(**NODES)) == ["one", "two"]


def test_an_empty_term_and_an_affinity_without_terms_match_nothing():
    assert passing(node_affinity, Pod(required=(NodeTerm(),)), a=8) == []
    assert passing(node_affinity, Pod(required=()), a=8) == []
    assert passing(node_affinity, Pod(required=None), a=8) == ["a"]


def test_a_term_may_name_nodes():
    named = NodeTerm(names=(Requirement("metadata.name", "In", ("a",)),))
    others = NodeTerm(names=(Requirement("metadata.name", "NotIn", ("a",)),))
    assert passing(node_affinity, Pod(required=(named,)), a=8, b=8) == ["a"]
    assert passing(node_affinity, Pod(required=(others,)), a=8, b=8) == ["b"]


def test_every_pair_of_a_node_selector_must_match():
    nodes = {"a": Node(labels={"x": "1", "y": "1"}), "b": Node(labels={"x": "1"}), "c": 8}
    assert passing(node_affinity, Pod(selector=(("x", "1"), ("y", "1"))), **nodes) == ["a"]


def test_selector_and_affinity_must_both_match():
    term = NodeTerm(labels=(Requirement("key", "In", ("2",)),))
    assert passing(node_affinity, Pod(selector=(("key", "1"),), required=(term,)), **labelled(**NODES)) == []


def test_a_node_that_is_not_ready_takes_nobody():
    assert passing(node_ready, Pod(), a=Node(ready=False), b=8) == ["b"]


def test_a_pod_may_insist_on_a_node():
    assert passing(node_name, Pod(node_name="b"), a=8, b=8) == ["b"]
    assert passing(node_name, Pod(node_name="gone"), a=8, b=8) == []


def test_a_node_where_the_pod_failed_to_bind_is_left_out():
    assert passing(exclusion, Pod(excluded=frozenset({"a", "gone"})), a=8, b=8) == ["b"]


def test_every_feature_that_a_pod_needs_has_to_be_declared():
    nodes = cluster(nodes={"a": 8, "b": 8}).nodes
    nodes = dataclasses.replace(nodes, declares={"x": np.array([True, True]), "y": np.array([False, True])})
    for features, allowed in [((), [True, True]), (("x", "y"), [False, True]), (("z",), [False, False])]:
        assert declared_features(PodClass((), features=features), nodes).tolist() == allowed


def test_a_cordoned_node_takes_only_who_tolerates_that():
    tolerant = Toleration(key="node.kubernetes.io/unschedulable", operator="Exists", effect="NoSchedule")
    nodes = {"a": Node(cordoned=True), "b": 8}
    assert passing(cordoned, Pod(), **nodes) == ["b"]
    assert passing(cordoned, Pod(tolerations=(tolerant,)), **nodes) == ["a", "b"]


TAINT = Taint("gpu", "7", "NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        (Toleration("gpu", "Equal", "7", "NoSchedule"), True),
        (Toleration("gpu", "", "7", "NoSchedule"), True),
        (Toleration("gpu", "Equal", "8", "NoSchedule"), False),
        (Toleration("gpu", "Equal", "7", "NoExecute"), False),
        (Toleration("gpu", "Equal", "7", ""), True),
        (Toleration("cpu", "Equal", "7", ""), False),
        (Toleration("gpu", "Exists", "", ""), True),
        (Toleration("", "Exists", "", ""), True),
        (Toleration("", "Exists", "", "NoExecute"), False),
        (Toleration("", "Equal", "7", ""), False),
        (Toleration("gpu", "Gt", "6", ""), True),
        (Toleration("gpu", "Gt", "7", ""), False),
        (Toleration("gpu", "Lt", "8", ""), True),
        (Toleration("gpu", "Lt", "7", ""), False),
        (Toleration("gpu", "Gt", "few", ""), False),
        (Toleration("gpu", "Gt", "0_6", ""), False),
        (Toleration("gpu", "Like", "7", ""), False),
    ],
)
def test_a_toleration_matches_as_in_kubernetes(toleration, tolerated):
    assert passing(taints, Pod(tolerations=(toleration,)), a=Node(taints=(TAINT,))) == (["a"] if tolerated else [])


def test_every_hard_taint_must_be_tolerated():
    nodes = {"a": Node(taints=(TAINT, Taint("x", "", "NoExecute"))), "b": Node(taints=(TAINT,)), "c": 8}
    assert passing(taints, Pod(tolerations=(Toleration("gpu", "Exists"),)), **nodes) == ["b", "c"]


def test_a_soft_taint_keeps_nobody_away():
    assert passing(taints, Pod(), a=Node(taints=(Taint("x", "", "PreferNoSchedule"),))) == ["a"]


def test_a_number_on_a_taint_must_be_an_integer_to_be_compared():
    node = Node(taints=(Taint("gpu", "many", "NoSchedule"),))
    assert passing(taints, Pod(tolerations=(Toleration("gpu", "Gt", "1"),)), a=node) == []


def amounts(**values):
    row = [0, 0, 0, 0]
    for name, value in values.items():
        row[{"cpu": CPU, "slots": SLOTS, "gpu": GPU}[name]] = value
    return np.array(row)


def test_a_pod_fits_where_everything_that_it_asks_for_is_left():
    free = np.array([amounts(cpu=4, gpu=4), amounts(cpu=4, gpu=3), amounts(cpu=3, gpu=4)])
    assert fits(amounts(cpu=4, gpu=4), free).tolist() == [True, False, False]


def test_an_overcommitted_resource_disqualifies_only_who_asks_for_it():
    free = np.array([amounts(cpu=-1, gpu=8)])
    assert fits(amounts(gpu=1), free).tolist() == [True]
    assert fits(amounts(cpu=1, gpu=1), free).tolist() == [False]


def test_shortages_count_the_nodes_and_tell_the_nearest_miss():
    free = np.array([amounts(cpu=1, gpu=8), amounts(cpu=3, gpu=8), amounts(cpu=0, gpu=0), amounts(cpu=9, gpu=0)])
    candidates = np.array([True, True, True, False])
    assert shortages(amounts(cpu=4, gpu=1), free, candidates, AXIS) == {"cpu": (3, 1), "nvidia.com/gpu": (1, 0)}
