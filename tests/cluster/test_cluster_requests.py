"""Kubernetes' arithmetic of pod requests, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.api.decode import convert
from kai_py.api.pod import Pod
from kai_py.cluster.encode.axis import MOST, most
from kai_py.cluster.encode.requests import pod_request
from kai_py.errors import MalformedObjectError

GIB = 2**30
INFEASIBLE = {"type": "PodResizePending", "status": "True", "reason": "Infeasible"}


def asks(name: str = "main", *, restart: str = "", limits: Any = None, **requests: Any) -> dict[str, Any]:
    return {"name": name, "restartPolicy": restart, "resources": {"requests": requests, "limits": limits or {}}}


def sidecar(name: str = "side", **requests: Any) -> dict[str, Any]:
    return asks(name, restart="Always", **requests)


def has(name: str = "main", *, allocated: Any = None, **requests: Any) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": requests}, "allocatedResources": allocated or {}}


def request(*containers: Any, init: Any = (), status: Any = None, on: str = "", **spec: Any) -> dict[str, int]:
    manifest = {
        "metadata": {"name": "p", "namespace": "ns"},
        "spec": {"containers": containers, "initContainers": init, "nodeName": on, **spec},
        "status": status or {},
    }
    found = pod_request(convert(Pod, manifest))
    assert found.pop("pods") == 1
    return found


def test_containers_are_added_up():
    assert request(asks(cpu="500m", memory="1Gi"), asks("b", cpu="1")) == {"cpu": 1500, "memory": GIB}


def test_every_pod_takes_a_slot_even_if_it_asks_for_nothing():
    assert request(asks()) == {}


def test_a_request_of_zero_is_none():
    assert request(asks(**{"nvidia.com/gpu": "0"})) == {}


def test_cpu_is_rounded_up_to_millicores_and_whole_gpus_are_kept_in_thousandths():
    assert request(asks(cpu="0.0001", **{"nvidia.com/gpu": 2})) == {"cpu": 1, "nvidia.com/gpu": 2000}


def test_a_limit_without_a_request_is_a_request():
    assert request(asks(limits={"cpu": "2", "memory": "1Gi"}, cpu="1")) == {"cpu": 1000, "memory": GIB}


def test_an_init_container_counts_only_above_what_runs_later():
    assert request(asks(cpu="1", memory="1Gi"), init=[asks("i", cpu="3")]) == {"cpu": 3000, "memory": GIB}
    assert request(asks(cpu="4"), init=[asks("i", cpu="3"), asks("j", cpu="2")]) == {"cpu": 4000}


def test_a_sidecar_runs_beside_the_containers():
    assert request(asks(cpu="1"), init=[sidecar(cpu="1")]) == {"cpu": 2000}


def test_init_containers_run_beside_the_sidecars_that_were_started_before_them():
    assert request(asks(cpu="1"), init=[sidecar(cpu="1"), asks("i", cpu="5")]) == {"cpu": 6000}
    assert request(asks(cpu="1"), init=[asks("i", cpu="5"), sidecar(cpu="1")]) == {"cpu": 5000}


def test_sidecars_add_up_as_they_start():
    init = [sidecar("s1", cpu="1"), asks("i", cpu="2"), sidecar("s2", cpu="3"), asks("j", cpu="1")]
    assert request(asks(cpu="500m"), init=init) == {"cpu": 5000}


def test_overhead_is_added_to_the_peak():
    assert request(asks(cpu="1"), init=[asks("i", cpu="2")], overhead={"cpu": "250m"}) == {"cpu": 2250}


def test_pod_level_requests_replace_what_containers_ask_for():
    pod_level = {"requests": {"cpu": "1", "hugepages-2Mi": "4Mi"}}
    found = request(asks(cpu="3", memory="1Gi"), resources=pod_level, overhead={"cpu": "1"})
    assert found == {"cpu": 2000, "memory": GIB, "hugepages-2Mi": 4 * 2**20}


def test_pod_level_requests_for_devices_mean_nothing():
    assert request(asks(cpu="1"), resources={"requests": {"nvidia.com/gpu": 4}}) == {"cpu": 1000}


def test_a_pod_level_limit_is_a_request_where_no_container_has_one():
    assert request(asks(cpu="1"), resources={"limits": {"cpu": "8", "memory": "2Gi"}}) == {
        "cpu": 1000,
        "memory": 2 * GIB,
    }


def test_a_running_container_counts_with_the_larger_of_what_it_asks_for_and_what_it_has():
    status = {"containerStatuses": [has(cpu="2", memory="1Gi", allocated={"cpu": "3"})]}
    assert request(asks(cpu="1", memory="2Gi"), status=status, on="a") == {"cpu": 3000, "memory": 2 * GIB}


def test_a_resize_that_cannot_be_done_counts_with_what_the_container_has():
    status = {"containerStatuses": [has(cpu="2")], "conditions": [INFEASIBLE]}
    assert request(asks(cpu="64"), status=status, on="a") == {"cpu": 2000}


def test_what_a_container_has_does_not_matter_before_the_pod_has_a_node():
    assert request(asks(cpu="1"), status={"containerStatuses": [has(cpu="2")]}) == {"cpu": 1000}


def test_a_running_sidecar_is_resized_like_a_container_and_other_init_containers_are_not():
    status = {"initContainerStatuses": [has("side", cpu="3"), has("i", cpu="50")]}
    assert request(asks(cpu="1"), init=[sidecar(cpu="1"), asks("i", cpu="1")], status=status, on="a") == {"cpu": 4000}


def test_pod_level_resources_of_a_running_pod_count_with_the_larger():
    status = {"resources": {"requests": {"cpu": "2"}}, "allocatedResources": {"cpu": "3"}}
    assert request(asks(cpu="1"), resources={"requests": {"cpu": "1"}}, status=status, on="a") == {"cpu": 3000}


def test_a_pod_level_resize_that_cannot_be_done_counts_with_what_the_pod_has():
    status = {"resources": {"requests": {"cpu": "2"}}, "conditions": [INFEASIBLE]}
    assert request(asks(cpu="1"), resources={"requests": {"cpu": "9"}}, status=status, on="a") == {"cpu": 2000}


def test_status_alone_does_not_make_pod_level_requests():
    assert request(asks(cpu="4"), status={"resources": {"requests": {"cpu": "2"}}}, on="a") == {"cpu": 4000}


@pytest.mark.parametrize(
    ("container", "field"),
    [
        (asks(cpu="much"), "spec.containers[0].resources.requests.cpu"),
        (asks(cpu="-1"), "spec.containers[0].resources.requests.cpu"),
        (asks(limits={"memory": "1Qi"}), "spec.containers[0].resources.limits.memory"),
    ],
)
def test_a_quantity_that_means_nothing_is_named(container, field):
    with pytest.raises(MalformedObjectError) as caught:
        request(container)
    assert [fault.field for fault in caught.value.faults] == [field]


def test_an_absurd_amount_is_refused_while_the_pod_waits_and_saturates_once_it_runs():
    with pytest.raises(MalformedObjectError, match="should not exceed"):
        request(asks(memory="1Ei"))
    assert request(asks(memory="1Ei"), on="a") == {"memory": MOST}


@given(st.sampled_from(["cpu", "memory", "nvidia.com/gpu", "nvidia.com/mig-7g.80gb", "example.com/x"]))
def test_a_hundred_thousand_of_the_largest_amounts_fit_into_int64_even_as_gpus(resource):
    per_unit = 7000 if "mig" in resource else 1
    assert most(resource) * per_unit * 100_000 < 2**63


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), max_size=5), st.lists(st.integers(0, 8), max_size=3))
def test_the_request_is_the_largest_sum_that_is_ever_needed_at_once(init, containers):
    """The reference walks through the pod's start, moment by moment."""
    running = peak = 0
    for is_sidecar, cpu in init:
        peak = max(peak, running + cpu)
        running += cpu if is_sidecar else 0
    expected = max(peak, running + sum(containers)) * 1000
    made = [sidecar(f"i{n}", cpu=c) if s else asks(f"i{n}", cpu=c) for n, (s, c) in enumerate(init)]
    found = request(*(asks(f"c{n}", cpu=c) for n, c in enumerate(containers)), init=made)
    assert found.get("cpu", 0) == expected
