"""Parts of GPUs: read from annotations and labels, charged to queues, carried with decisions that are on their way."""

import dataclasses

import pytest

from kai_py.cluster.encode.shares import device_memory, groups_of, labels_of, share_of
from kai_py.cluster.shares.ways import Ways
from kai_py.core.resources import ACCOUNTED
from kai_py.core.tables.devices import Share
from kai_py.errors import MalformedObjectError
from tests.cluster.objects import NOW, a_store, bind, blocked, node, pod, put

CPU = {"cpu": "1"}


def sharing(name="p", **what):
    labels = what.pop("labels", None)
    on = what.pop("on", "")
    return pod(name, requests=CPU, on=on, labels=labels, annotations={k.replace("_", "-"): v for k, v in what.items()})


def row_of(snapshot, name):
    return [key.name for key in snapshot.pods.keys].index(name)


def cost(store, name="p"):
    snapshot = store.take(NOW)
    class_idx = snapshot.pods.class_idx[row_of(snapshot, name)]
    return snapshot.classes.accounted[class_idx, ACCOUNTED.index("gpu")]


@pytest.mark.parametrize(
    ("annotations", "share"),
    [
        ({}, None),
        ({"gpu_fraction": "0.5"}, Share(millionths=500_000)),
        ({"gpu_fraction": "1"}, Share(millionths=1_000_000)),
        ({"gpu_memory": "2000"}, Share(memory=2000)),
        ({"gpu_fraction": "0.25", "gpu_fraction_num_devices": "2"}, Share(millionths=250_000, devices=2)),
    ],
)
def test_a_share_is_a_fraction_or_memory_of_one_or_more_devices(annotations, share):
    assert share_of(sharing(**annotations)) == share


@pytest.mark.parametrize(
    "annotations",
    [
        {"gpu_fraction": "0"},
        {"gpu_fraction": "1.5"},
        {"gpu_fraction": "half"},
        {"gpu_fraction": "nan"},
        {"gpu_memory": "-1"},
        {"gpu_memory": "2Gi"},
        {"gpu_fraction": "0.5", "gpu_memory": "100"},
        {"gpu_fraction": "0.5", "gpu_fraction_num_devices": "0"},
        {"gpu_fraction_num_devices": "2"},
    ],
)
def test_what_cannot_be_a_share_is_a_fault_of_the_pod(annotations):
    with pytest.raises(MalformedObjectError, match="gpu-"):
        share_of(sharing(**annotations))
    assert blocked(a_store(sharing(**annotations)).take(NOW), "pg-p-uid-p") == "PodInvalid"


def test_a_share_and_whole_gpus_cannot_be_asked_for_together():
    assert blocked(a_store(pod("p", annotations={"gpu-fraction": "0.5"})).take(NOW), "pg-p-uid-p") == "PodInvalid"


def test_labels_name_the_devices_of_a_pod_that_runs():
    assert groups_of(sharing(labels={"runai-gpu-group": "x"}), 1) == ("x",)
    assert groups_of(sharing(labels={"runai-gpu-group/x": "x", "runai-gpu-group/y": "y"}), 2) == ("x", "y")


def test_devices_that_no_label_names_are_shared_with_nobody():
    one, other = groups_of(sharing("p"), 2), groups_of(sharing("q"), 2)
    assert len({*one, *other}) == 4


@pytest.mark.parametrize("groups", [("x",), ("x", "y")])
def test_labels_are_read_as_they_are_written(groups):
    assert groups_of(sharing(labels=labels_of(groups)), len(groups)) == groups


@pytest.mark.parametrize(("label", "memory"), [("81559", 81500), ("100", 100), ("40", 40), ("", 0), ("much", 0)])
def test_the_memory_of_devices_is_rounded_down(label, memory):
    assert device_memory({"nvidia.com/gpu.memory": label}) == memory


def test_a_fraction_costs_its_queue_that_part_of_every_device():
    assert cost(a_store(sharing(gpu_fraction="0.25", gpu_fraction_num_devices="2"))) == 500


def test_memory_costs_the_part_of_the_smallest_kind_of_device_that_has_so_much():
    store = a_store(sharing(gpu_memory="30000"), node("c", labels={"nvidia.com/gpu.memory": "80000"}))
    assert cost(store) == 380
    put(store, node("d", labels={"nvidia.com/gpu.memory": "40000"}))
    assert cost(store) == 750
    put(store, node("e", labels={"nvidia.com/gpu.memory": "16000"}))
    assert cost(store) == 750


def test_a_snapshot_without_shares_has_no_devices():
    store = a_store(sharing(gpu_fraction="0.5"), pod("whole"))
    assert store.take(NOW).devices is not None
    put(store, pod("p", requests=CPU))
    assert store.take(NOW).devices is None


def test_a_decision_on_its_way_sits_on_its_devices_already():
    store = a_store(sharing(gpu_fraction="0.5"))
    store.decisions.assume(dataclasses.replace(bind("p", "a"), gpu_groups=("x",)), NOW)
    snapshot = store.take(NOW)
    assert snapshot.devices.groups == {row_of(snapshot, "p"): ("x",)}
    put(store, sharing(gpu_fraction="0.5", on="a", labels={"runai-gpu-group": "x"}))
    snapshot = store.take(NOW)
    assert snapshot.devices.groups == {row_of(snapshot, "p"): ("x",)}


def test_shares_wait_where_settings_do_not_trust_them_and_no_longer_when_they_do():
    store = a_store(sharing(gpu_fraction="0.5"))
    store.layout.share_gpus(Ways("none"), NOW)
    assert blocked(store.take(NOW), "pg-p-uid-p") == "Unsupported"
    store.layout.share_gpus(Ways("trusted"), NOW)
    assert blocked(store.take(NOW), "pg-p-uid-p") is None
