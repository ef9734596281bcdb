from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from kai_py.minicluster import MiniCluster, pools

CRDS = Path(__file__).parents[2] / "crds"


def names(profile: str, count: int) -> list[str]:
    return [node["metadata"]["name"] for node in pools.nodes(profile, count)]


def labels(profile: str, count: int, key: str) -> list[str]:
    return [node["metadata"]["labels"][key] for node in pools.nodes(profile, count)]


def test_nodes_are_named_by_rack_and_place():
    assert names("h100", 10)[6:] == ["h100-r01-n07", "h100-r01-n08", "h100-r02-n01", "h100-r02-n02"]


@pytest.mark.parametrize("profile", list(pools.PROFILES))
def test_the_same_question_has_the_same_answer_sorted_by_name(profile: str):
    assert pools.nodes(profile, 300) == pools.nodes(profile, 300)
    assert names(profile, 300) == sorted(set(names(profile, 300)))
    assert len(names(profile, 300)) == 300


def test_names_sort_by_rack_beyond_a_hundred_racks():
    racks = labels("h100", 1000, pools.RACK_LABEL)
    assert racks == sorted(racks)
    assert racks[-1] == "h100-r125"


def test_a_larger_pool_begins_with_the_smaller_one():
    assert pools.nodes("h100", 400)[:50] == pools.nodes("h100", 50)


def test_every_domain_is_inside_one_wider_domain():
    for node_profile in pools.PROFILES:
        nodes = pools.nodes(node_profile, 500)
        for (wide, _), (narrow, _) in zip(pools.LEVELS, pools.LEVELS[1:], strict=False):
            parents: dict[str, set[str]] = {}
            for node in nodes:
                own = node["metadata"]["labels"]
                parents.setdefault(own[narrow], set()).add(own[wide])
            assert {len(found) for found in parents.values()} == {1}


def test_the_bench_pool_is_that_of_kais_scale_test():
    nodes = pools.nodes("bench", 512)
    assert nodes[0]["status"]["allocatable"] == {
        "cpu": "32",
        "memory": "256Gi",
        "ephemeral-storage": "1Ti",
        "pods": "110",
        "nvidia.com/gpu": "8",
    }
    sizes = [len(set(labels("bench", 512, label))) for label, _ in pools.LEVELS]
    assert sizes == [4, 32, 256, 512]


def test_a_mixed_pool_is_mostly_h100_with_some_a100_and_some_cpu():
    kinds = Counter(name.partition("-")[0] for name in names("mixed", 50))
    assert kinds == {"h100": 30, "a100": 15, "cpu": 5}


def test_the_parts_of_a_mixed_pool_always_add_up():
    assert [len(pools.nodes("mixed", count)) for count in range(40)] == list(range(40))


def test_gpu_servers_say_what_their_gpus_are():
    [node] = pools.nodes("h100", 1)
    own = node["metadata"]["labels"]
    assert own["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
    assert (own["nvidia.com/gpu.count"], own["nvidia.com/gpu.memory"]) == ("8", "81559")
    assert own["node-role.kubernetes.io/gpu-worker"] == ""
    assert own["kubernetes.io/hostname"] == "h100-r01-n01"


def test_cpu_servers_say_nothing_about_gpus():
    [node] = pools.nodes("cpu", 1)
    assert not [key for key in node["metadata"]["labels"] if key.startswith("nvidia.com")]
    assert "nvidia.com/gpu" not in node["status"]["allocatable"]


def test_servers_of_one_nvlink_domain_share_its_label():
    assert len(set(labels("gb200", 36, pools.NVLINK_LABEL))) == 2
    assert len(set(labels("h100", 36, pools.NVLINK_LABEL))) == 36


def test_an_unknown_profile_is_answered_with_those_that_exist():
    with pytest.raises(ValueError, match="h100, a100"):
        pools.nodes("tpu", 1)
    with pytest.raises(ValueError, match="-1 nodes"):
        pools.nodes("h100", -1)


def test_the_topology_is_accepted_under_its_crd():
    cluster = MiniCluster(crds=CRDS)
    stored = cluster.storage.create("topologies.kai.scheduler", pools.topology())
    assert [level["alias"] for level in stored["spec"]["levels"]] == ["zone", "block", "rack", "host"]
