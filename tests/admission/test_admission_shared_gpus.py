"""Pods that share GPUs: what is refused, and how they are prepared."""

import pytest

from kai_py.admission.shared_gpus import Place, configmaps_of, container_of, decide, faults, prepared
from kai_py.admission.verdict import Known, Request
from kai_py.settings.load import load_settings


def known(**more):
    return Known(settings=load_settings({"gpuSharing": "reservation", **more}))


def a_pod(*containers, init=(), scheduler="kai-scheduler", **annotations):
    meta = {"name": "p", "annotations": {key.replace("_", "-"): text for key, text in annotations.items()}}
    spec = {"schedulerName": scheduler, "containers": list(containers) or [{"name": "main"}]}
    return {"metadata": meta, "spec": {**spec, **({"initContainers": list(init)} if init else {})}}


def asked(pod, **more):
    return decide(Request("CREATE", pod, {}, "ns"), known(**more))


def merged(pod, patch):
    meta = {**pod["metadata"], "annotations": {**pod["metadata"]["annotations"], **patch["metadata"]["annotations"]}}
    return {"metadata": meta, "spec": {**pod["spec"], **patch["spec"]}}


def test_the_first_container_learns_its_devices_from_a_configmap():
    pod = a_pod({"name": "a", "env": [{"name": "X", "value": "y"}]}, {"name": "b"}, gpu_fraction="0.5")
    patch = prepared(pod, known(), "12ab")
    assert patch["metadata"]["annotations"] == {"runai/shared-gpu-configmap": "p-12ab-shared-gpu"}
    assert patch["spec"]["runtimeClassName"] == "nvidia"
    first, second = patch["spec"]["containers"]
    names = {one["name"]: one.get("valueFrom", {}).get("configMapKeyRef") for one in first["env"]}
    assert names == {
        "X": None,
        "NVIDIA_VISIBLE_DEVICES": {"name": "p-12ab-shared-gpu-0", "key": "NVIDIA_VISIBLE_DEVICES"},
        "GPU_PORTION": {"name": "p-12ab-shared-gpu-0", "key": "GPU_PORTION"},
        "RUNAI_NUM_OF_GPUS": {"name": "p-12ab-shared-gpu-0", "key": "RUNAI_NUM_OF_GPUS"},
    }
    assert second == {"name": "b"}
    assert configmaps_of(merged(pod, patch)) == ("p-12ab-shared-gpu-0",)
    assert configmaps_of(pod) == ()


def test_preparing_twice_changes_nothing_more():
    pod = a_pod(gpu_memory="2000")
    once = merged(pod, prepared(pod, known(), "1"))
    assert merged(once, prepared(once, known(), "2")) == once


def test_an_annotation_chooses_the_container():
    pod = a_pod({"name": "main"}, init=[{"name": "set-up"}], gpu_fraction="0.5", gpu_fraction_container_name="set-up")
    assert container_of(pod) == Place("initContainers", 0)
    patch = prepared(pod, known(), "1")
    assert set(patch["spec"]) == {"initContainers", "runtimeClassName"}
    assert configmaps_of(merged(pod, patch)) == ("p-1-shared-gpu-i0",)


def test_pods_of_an_owner_have_configmaps_of_their_own_with_names_that_fit():
    pod = a_pod(gpu_fraction="0.5")
    pod["metadata"]["ownerReferences"] = [{"name": "w" * 80}]
    one, two = (prepared(pod, known(), token)["metadata"]["annotations"] for token in ("0a1b2c3d", "ffffffff"))
    assert one != two
    assert all(len(name) < 60 for name in one.values())


@pytest.mark.parametrize(
    ("pod", "settings"),
    [
        (a_pod(), {}),
        (a_pod(scheduler="default-scheduler", gpu_fraction="0.5"), {}),
        (a_pod(gpu_fraction="0.5"), {"gpuSharing": "trusted"}),
        (a_pod(gpu_fraction="0.5"), {"gpuSharing": "none"}),
    ],
)
def test_other_pods_stay_as_they_are(pod, settings):
    assert prepared(pod, known(**settings), "1") is None


def test_a_class_of_its_own_is_kept_and_none_is_set_where_settings_say_so():
    pod = a_pod(gpu_fraction="0.5")
    pod["spec"]["runtimeClassName"] = "mine"
    assert "runtimeClassName" not in prepared(pod, known(), "1")["spec"]
    del pod["spec"]["runtimeClassName"]
    assert "runtimeClassName" not in prepared(pod, known(gpuReservation={"runtimeClassName": ""}), "1")["spec"]


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (a_pod(gpu_fraction="2"), "should be above 0 and at most 1"),
        (a_pod(gpu_fraction="0.5", gpu_memory="10"), "cannot be combined with gpu-fraction"),
        (a_pod(mps="true"), "metadata.annotations[mps]: needs gpu-fraction beside it"),
        (a_pod(gpu_fraction="0.5", gpu_fraction_container_name="x"), "there is no container 'x'"),
        (
            a_pod({"name": "a", "resources": {"limits": {"nvidia.com/gpu": 1}}}, gpu_fraction="0.5"),
            "spec.containers[0].resources: nvidia.com/gpu cannot be combined",
        ),
    ],
)
def test_what_cannot_be_is_refused_or_warned_of(pod, words):
    (found,) = faults(pod)
    assert words in found
    assert words in asked(pod).refusal
    warned = asked(pod, admission={"pods": "warn"})
    assert warned.allowed
    assert words in warned.warnings[0]


def test_mps_goes_with_a_part_of_a_gpu():
    assert asked(a_pod(mps="true", gpu_fraction="0.5")).allowed


def env(**variable):
    return {"name": "main", "env": [{"name": "NVIDIA_VISIBLE_DEVICES", **variable}]}


REFERENCE = {"configMapKeyRef": {"name": "mine", "key": "NVIDIA_VISIBLE_DEVICES"}}


@pytest.mark.parametrize("variable", [{"value": "all"}, {"value": "0"}, {"valueFrom": REFERENCE}])
def test_who_chooses_the_gpus_that_it_sees_is_refused_where_settings_say_so(variable):
    pod = a_pod(env(**variable))
    assert asked(pod).allowed
    assert "does not choose" in asked(pod, admission={"visibleDevices": "warn"}).warnings[0]
    assert "does not choose" in asked(pod, admission={"visibleDevices": "refuse"}).refusal
    other = a_pod(env(**variable), scheduler="default-scheduler")
    assert asked(other, admission={"visibleDevices": "refuse"}).allowed


def test_who_sees_none_or_what_it_was_given_is_let_in():
    strict = {"admission": {"visibleDevices": "refuse"}}
    assert asked(a_pod(env(value="void")), **strict).allowed
    pod = a_pod(gpu_fraction="0.5")
    assert asked(merged(pod, prepared(pod, known(), "1")), **strict).allowed
