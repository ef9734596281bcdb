from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.minicluster.workers.room import Rooms, Shortage, requests_of


def asking(name: str = "c", **requests: str) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": {key.replace("_", "-"): value for key, value in requests.items()}}}


def sidecar(**requests: str) -> dict[str, Any]:
    return asking("s", **requests) | {"restartPolicy": "Always"}


def amounts(**spec: Any) -> dict[str, int]:
    return dict(requests_of(spec))


def test_containers_add_up_and_the_pod_counts_as_one():
    assert amounts(containers=[asking(cpu="500m"), asking(cpu="1", memory="1Ki")]) == {
        "cpu": 1500,
        "memory": 1024,
        "pods": 1,
    }


def test_init_containers_count_by_their_peak():
    spec = {"initContainers": [asking(cpu="3"), asking(cpu="2")], "containers": [asking(cpu="1")]}
    assert amounts(**spec)["cpu"] == 3000


def test_a_sidecar_runs_beside_the_containers_and_later_init_containers():
    spec = {"initContainers": [asking(cpu="4"), sidecar(cpu="1"), asking(cpu="4")], "containers": [asking(cpu="2")]}
    assert amounts(**spec)["cpu"] == 5000


def test_pod_level_requests_replace_and_overhead_adds():
    spec = {
        "containers": [asking(cpu="1", memory="1Mi")],
        "resources": {"requests": {"cpu": "4"}},
        "overhead": {"cpu": "250m"},
    }
    assert amounts(**spec) == {"cpu": 4250, "memory": 1 << 20, "pods": 1}


def test_what_devices_take_of_the_node_adds_and_is_part_of_pod_level_requests():
    spec = {"initContainers": [asking(cpu="3")], "containers": [asking(cpu="1", memory="1Mi")]}
    taken = [{"cpu": "2500m"}, {"cpu": "1", "memory": "1Mi"}]
    assert dict(requests_of(spec, taken=taken)) == {"cpu": 6500, "memory": 2 << 20, "pods": 1}
    whole = spec | {"resources": {"requests": {"cpu": "8"}}}
    assert dict(requests_of(whole, taken=taken)) == {"cpu": 8000, "memory": 2 << 20, "pods": 1}


def test_what_does_not_fit_changes_nothing():
    rooms = Rooms()
    rooms.admit("a", "n", (("cpu", 600),), (("cpu", 1000),))
    with pytest.raises(Shortage, match="cpu, requested: 401, used: 600, capacity: 1000"):
        rooms.admit("b", "n", (("cpu", 401),), (("cpu", 1000),))
    rooms.admit("c", "n", (("cpu", 400),), (("cpu", 1000),))
    assert rooms.used("n") == {"cpu": 1000}


def test_a_resource_that_the_node_does_not_have_is_short():
    with pytest.raises(Shortage, match=r"nvidia\.com/gpu"):
        Rooms().admit("a", "n", (("nvidia.com/gpu", 1),), (("cpu", 1000),))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=60))
def test_nothing_is_ever_overcommitted_and_all_comes_back(steps: list[tuple[int, int]]):
    rooms, held = Rooms(), {}
    for pod, cpu in steps:
        uid = str(pod)
        if uid in rooms:
            rooms.release([uid])
            del held[uid]
        else:
            try:
                rooms.admit(uid, "n", (("cpu", cpu),), (("cpu", 10),))
            except Shortage:
                assert sum(held.values()) + cpu > 10
            else:
                held[uid] = cpu
        assert rooms.used("n").get("cpu", 0) == sum(held.values()) <= 10
    rooms.release([*held, "unknown"])
    assert rooms.used("n") == {}
