"""Pods that get their part of GPUs by a claim: what is refused, and how they are prepared."""

import pytest

from kai_py.admission.shared_gpus import decide, prepared, steps
from kai_py.admission.verdict import Known, Request
from kai_py.settings.load import load_settings

from .test_admission_shared_gpus import a_pod

CLAIM = "kai-gpu-share"


def known(classes=None, **more):
    ours = {"gpuShareClaims": {"deviceClassName": "shared"}, "dra": {"gpuClasses": ["shared"]}}
    settings = {"gpuSharing": "claims", **ours, **more}
    return Known(settings=load_settings(settings), device_classes=classes)


def asked(pod, **more):
    return decide(Request("CREATE", pod, {}, "ns"), known(**more))


def merged(pod, patch):
    return {**pod, "spec": {**pod["spec"], **patch["spec"]}}


def choosing(pod, way):
    pod["metadata"]["annotations"]["kai.scheduler/gpu-sharing"] = way
    return pod


def test_the_pod_gets_a_claim_and_its_container_uses_it():
    first = {"name": "a", "resources": {"limits": {"cpu": "1"}, "claims": []}}
    pod = a_pod(first, {"name": "b"}, gpu_fraction="0.5")
    patch = prepared(pod, known(), "12ab")
    (entry,) = patch["spec"]["resourceClaims"]
    assert entry["name"] == CLAIM
    assert entry["resourceClaimTemplateName"].startswith("kai-gpu-share-")
    one, other = patch["spec"]["containers"]
    assert one["resources"] == {"limits": {"cpu": "1"}, "claims": [{"name": CLAIM}]}
    assert other == {"name": "b"}
    assert {step["path"] for step in steps(patch)} == {"/spec/resourceClaims", "/spec/containers"}
    assert first["resources"]["claims"] == []  # what was sent is not written to


def test_the_same_ask_has_the_same_template_and_another_has_not():
    def template(**annotations):
        return prepared(a_pod(**annotations), known(), "")["spec"]["resourceClaims"][0]["resourceClaimTemplateName"]

    assert template(gpu_fraction="0.5") == template(gpu_fraction="0.50") != template(gpu_memory="8000")
    assert template(gpu_fraction="0.5") != template(gpu_fraction="0.5", gpu_fraction_num_devices="2")


def test_an_annotation_chooses_the_container():
    pod = a_pod({"name": "main"}, init=[{"name": "set-up"}], gpu_fraction="0.5", gpu_fraction_container_name="set-up")
    patch = prepared(pod, known(), "")
    assert set(patch["spec"]) == {"resourceClaims", "initContainers"}
    assert patch["spec"]["initContainers"] == [{"name": "set-up", "resources": {"claims": [{"name": CLAIM}]}}]


def test_preparing_twice_changes_nothing_and_is_let_in():
    pod = a_pod(gpu_memory="2000")
    once = merged(pod, prepared(pod, known(), ""))
    assert prepared(once, known(), "") is None
    assert asked(once, admission={"pods": "refuse"}).allowed


@pytest.mark.parametrize(
    ("pod", "says"),
    [
        (a_pod(gpu_fraction="half"), "gpu-fraction]: should be above 0 and at most 1, not 'half'"),
        (a_pod(gpu_memory="1", gpu_fraction_num_devices="33"), "should not exceed 32, the devices of a claim, not 33"),
        (choosing(a_pod(gpu_fraction="1"), "reservation"), "gpu-sharing]: should be claims, not 'reservation'"),
    ],
)
def test_what_cannot_be_claimed_is_refused_where_settings_say_so_and_never_prepared(pod, says):
    assert says in asked(pod, admission={"pods": "refuse"}).refusal
    assert says in asked(pod, admission={"pods": "warn"}).warnings[0]
    assert prepared(pod, known(), "") is None


@pytest.mark.parametrize("name", ["mine", CLAIM])
def test_claims_of_ones_own_beside_it_are_refused(name):
    pod = a_pod(gpu_fraction="0.5")
    pod["spec"]["resourceClaims"] = [{"name": name, "resourceClaimTemplateName": "mine"}]
    assert f"spec.resourceClaims[{name}]: claims cannot be combined" in asked(pod).refusal
    assert prepared(pod, known(), "") is None


def test_all_faults_are_told_at_once():
    pod = choosing(a_pod({"name": "m", "resources": {"limits": {"nvidia.com/gpu": 1}}}, gpu_fraction="2"), "some")
    refusal = asked(pod).refusal
    assert all(text in refusal for text in ("at most 1", "should be claims, not 'some'", "nvidia.com/gpu cannot"))


def test_a_pod_chooses_its_way_where_there_are_several():
    both = {"gpuSharing": "reservation", "gpuSharingChoices": ["claims"]}
    assert "resourceClaims" in prepared(choosing(a_pod(gpu_fraction="1"), "claims"), known(**both), "")["spec"]
    assert "resourceClaims" not in prepared(a_pod(gpu_fraction="1"), known(**both), "1")["spec"]


def test_a_class_that_is_not_there_is_a_warning_only_to_whom_it_concerns():
    (warning,) = asked(a_pod(gpu_fraction="0.5"), classes=frozenset({"other"})).warnings
    assert "there is no DeviceClass 'shared'" in warning
    assert asked(a_pod(gpu_fraction="0.5"), classes=frozenset({"shared"})).warnings == ()
    assert asked(a_pod(gpu_fraction="0.5")).warnings == ()  # nobody has looked
    assert asked(a_pod(), classes=frozenset()).warnings == ()
    assert prepared(a_pod(gpu_fraction="0.5"), known(frozenset()), "") is not None


def test_pods_of_other_schedulers_and_pods_without_a_part_are_left_alone():
    assert prepared(a_pod(scheduler="default-scheduler", gpu_fraction="0.5"), known(), "") is None
    assert prepared(a_pod(), known(), "") is None
