import pytest

from kai_py.core.options import Options, Strategy
from kai_py.core.scores.node_affinity import node_affinity
from kai_py.core.scores.packing import Packing
from kai_py.core.scores.prefer_no_schedule import prefer_no_schedule
from kai_py.core.scores.resource_type import resource_type
from kai_py.core.tables.classes import NodeTerm, PreferredTerm, Requirement, Toleration
from kai_py.core.tables.nodes import Taint
from tests.core.builders import AXIS, Node, Pod, cluster, running

SOFT = Taint("soft", "", "PreferNoSchedule")
SOFTER = Taint("softer", "", "PreferNoSchedule")


def preferring(weight, key, value):
    return PreferredTerm(weight, NodeTerm(labels=(Requirement(key, "In", (value,)),)))


def static(score, pod, **nodes):
    return score(pod.pod_class(), cluster(nodes=nodes).nodes).tolist()


def test_preferred_affinity_adds_up_the_weights_that_match_relative_to_the_best_node():
    pod = Pod(preferred=(preferring(30, "zone", "x"), preferring(10, "disk", "ssd")))
    both = Node(labels={"zone": "x", "disk": "ssd"})
    assert static(node_affinity, pod, a=both, b=Node(labels={"zone": "x"}), c=8) == [1.0, 0.75, 0.0]


def test_without_preferences_all_nodes_are_equal():
    assert static(node_affinity, Pod(), a=8, b=8) == [0.0, 0.0]


def test_the_node_with_most_unwelcome_taints_scores_nothing():
    nodes = {"a": Node(taints=(SOFT, SOFTER)), "b": Node(taints=(SOFT,)), "c": 8}
    assert static(prefer_no_schedule, Pod(), **nodes) == [0.0, 0.5, 1.0]


def test_a_tolerated_soft_taint_is_welcome():
    pod = Pod(tolerations=(Toleration("soft", "Exists"),))
    assert static(prefer_no_schedule, pod, a=Node(taints=(SOFT,)), b=8) == [1.0, 1.0]


def test_hard_taints_say_nothing_about_preference():
    assert static(prefer_no_schedule, Pod(), a=Node(taints=(Taint("x", "", "NoSchedule"),)), b=8) == [1.0, 1.0]


def test_a_pod_without_gpus_leaves_gpu_nodes_to_others():
    nodes = cluster(nodes={"a": 8, "b": 0}).nodes
    assert resource_type(request_of(Pod(0, cpu=1)), nodes, AXIS).tolist() == [0.0, 1.0]
    assert resource_type(request_of(Pod(1)), nodes, AXIS).tolist() == [0.0, 0.0]


def request_of(pod):
    return cluster(nodes={"a": 1}, foreign={"x": pod}).classes.request[0]


def packing(pod, free, *, nodes, **options):
    """Scores of nodes of some sizes with so many GPUs (or, for pods without, cores) free."""
    snapshot = cluster(nodes=nodes, foreign={"x": pod})
    packed = Packing.of(snapshot.classes.request[0], snapshot.nodes, AXIS, Options(**options))
    column = AXIS.index["nvidia.com/gpu" if pod.gpus else "cpu"]
    room = snapshot.nodes.allocatable.copy()
    room[:, column] = [amount * 1000 for amount in free]
    scores = packed.score(slice(None), room)
    assert scores.tolist() == [packed.score_one(row, room[row].tolist()) for row in range(len(room))]
    return scores.tolist()


def test_binpack_prefers_the_fuller_node():
    assert packing(Pod(1), [8, 4, 0], nodes={"a": 8, "b": 8, "c": 8}) == [0.0, 0.5, 1.0]


def test_binpack_measures_all_nodes_by_the_largest():
    assert packing(Pod(1), [4, 4], nodes={"a": 4, "b": 8}) == [0.5, 0.5]


def test_spread_prefers_the_node_with_the_larger_part_free():
    assert packing(Pod(1), [8, 3, 2], nodes={"a": 8, "b": 4, "c": 8}, gpu=Strategy.SPREAD) == [1.0, 0.75, 0.25]


def test_pods_without_gpus_are_packed_by_cpu_with_their_own_strategy():
    nodes = {"a": Node(cpu=100), "b": Node(cpu=100)}
    assert packing(Pod(0, cpu=1), [75, 25], nodes=nodes) == [0.25, 0.75]
    assert packing(Pod(0, cpu=1), [75, 25], nodes=nodes, cpu=Strategy.SPREAD) == [0.75, 0.25]
    assert packing(Pod(0, cpu=1), [75, 25], nodes=nodes, gpu=Strategy.SPREAD) == [0.25, 0.75]


@pytest.mark.parametrize("strategy", Strategy)
def test_an_overcommitted_node_scores_within_bounds(strategy):
    assert all(0 <= score <= 1 for score in packing(Pod(1), [-4, 12], nodes={"a": 8, "b": 8}, gpu=strategy))


def test_a_cluster_without_gpus_can_be_scored():
    assert packing(running("a"), [0], nodes={"a": 0}) == [1.0]
