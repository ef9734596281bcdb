import dataclasses

import numpy as np
import pytest

from kai_py.core.options import Options, Strategy
from kai_py.core.scores.allocation import Allocation
from kai_py.core.scores.image_locality import image_locality
from kai_py.core.scores.node_affinity import node_affinity
from kai_py.core.scores.packing import Packing
from kai_py.core.scores.prefer_no_schedule import prefer_no_schedule
from kai_py.core.scores.resource_type import resource_type
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.classes import NodeTerm, PodClass, PreferredTerm, Requirement, Toleration
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


MIB = 2**20


def located(images, total=4, **nodes):
    """Scores of nodes with images of so many MiB."""
    table = cluster(nodes=dict.fromkeys("abcd"[:total], 8)).nodes
    rows = {name: np.array([nodes.get(node, {}).get(name, 0) for node in table.names]) for name in images}
    table = dataclasses.replace(table, images={name: sizes * MIB for name, sizes in rows.items()})
    return image_locality(PodClass((), images=tuple(images)), table).tolist()


def test_images_count_by_their_size_and_by_how_many_nodes_have_them():
    assert located(["x"], 1, a={"x": 1000}) == [1.0]
    assert located(["x"], 2, a={"x": 1000}) == [(500 - 23) / 977, 0.0]
    assert located(["x", "y"], 1, a={"x": 1000, "y": 500}) == [(1500 - 23) / 1977]


def test_small_images_do_not_matter_and_huge_ones_not_without_end():
    assert located(["x"], 1, a={"x": 23}) == [0.0]
    assert located(["x"], 1, a={"x": 90_000}) == [1.0]
    assert located([], 1) == [0.0]
    assert image_locality(PodClass((), images=("x",)), cluster(nodes={"a": 8}).nodes).tolist() == [0.0]


def allocated(pod, used, *, cpu=10, memory=10, **weights):
    """Scores of nodes of some size of which so many cores and GiB are taken."""
    nodes = {f"n{row}": Node(cpu=cpu, memory=memory) for row in range(len(used))}
    foreign = {"x": pod} | {f"p{row}": Pod(0, cpu=c, memory=m, on=f"n{row}") for row, (c, m) in enumerate(used)}
    snapshot = cluster(nodes=nodes, foreign=foreign)
    row = [key.name for key in snapshot.pods.keys].index("x")
    found = Allocation.of(
        snapshot.classes.request[snapshot.pods.class_idx[row]], snapshot.nodes, AXIS, Options(weights=weights)
    )
    free = Ledger(snapshot).free
    scores = found.score(slice(None), free)
    assert scores.tolist() == [found.score(slice(n, n + 1), free[[n]]).item() for n in range(len(used))]
    return scores.tolist()


def test_without_weights_nobody_looks_at_allocation():
    assert Allocation.of(AXIS.accounting[:, 0], cluster(nodes={"a": 8}).nodes, AXIS, Options()) is None


def test_least_and_most_allocated_are_each_others_opposite():
    pod = Pod(0, cpu=1, memory=1)
    assert allocated(pod, [(0, 0), (4, 9)], leastAllocated=1.0) == pytest.approx([0.9, (0.5 + 0.0) / 2])
    assert allocated(pod, [(0, 0), (4, 9)], mostAllocated=2.0) == pytest.approx([0.2, 1.5])


def test_who_asks_for_nothing_counts_a_little():
    least = allocated(Pod(0), [(0, 0)], cpu=1, memory=1, leastAllocated=1.0)
    assert least == pytest.approx([1 - (0.1 + 200 / 1024) / 2])


def test_a_pod_that_evens_out_cpu_and_memory_is_welcome():
    pod = Pod(0, cpu=4)
    even, worse = allocated(pod, [(0, 4), (4, 0)], balancedAllocation=1.0)
    assert even == pytest.approx(0.5 + 0.2)
    assert worse == pytest.approx(0.5 - 0.2)
    assert allocated(Pod(0), [(0, 4), (4, 0)], balancedAllocation=1.0) == [0.0, 0.0]


def test_a_node_without_memory_is_compared_by_its_cpu():
    assert allocated(Pod(0, cpu=5), [(0, 0)], memory=0, mostAllocated=1.0, balancedAllocation=1.0) == [1.0]
