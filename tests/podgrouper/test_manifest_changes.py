"""A PodGroup that was written follows its workload, and keeps what its user has edited."""

from __future__ import annotations

from dataclasses import replace

from kai_py.api.decode import convert
from kai_py.api.keys import DERIVED_ANNOTATION
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.podgrouper.grouping import group_of
from kai_py.podgrouper.manifest import changes, manifest_of, written_manifest

OWNER = {"apiVersion": "batch/v1", "kind": "Job", "name": "train", "uid": "u", "controller": True}
GROUP = group_of(convert(Pod, {"metadata": {"name": "p", "namespace": "ns", "ownerReferences": [OWNER]}})).group


def merged(manifest, patch):
    """RFC 7386."""
    result = dict(manifest)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def test_what_was_written_is_up_to_date():
    assert changes(GROUP, PodGroup.parse(written_manifest(GROUP))) is None


def test_a_podgroup_that_somebody_else_has_written_is_left_alone():
    other = replace(GROUP, queue="other")
    assert changes(other, PodGroup.parse(manifest_of(GROUP))) is None
    odd = written_manifest(GROUP)
    odd["metadata"]["annotations"][DERIVED_ANNOTATION] = "[1"
    assert changes(other, PodGroup.parse(odd)) is None


def test_only_fields_that_are_derived_anew_are_written_and_edits_of_others_stay():
    manifest = written_manifest(GROUP)
    manifest["spec"] |= {"queue": "edited", "markUnschedulable": False}
    grown = replace(GROUP, min_member=8, preemptibility="preemptible")
    patch = changes(grown, PodGroup.parse(manifest))
    assert patch["spec"] == {"minMember": 8, "preemptibility": "preemptible"}
    after = merged(manifest, patch)
    assert (after["spec"]["queue"], after["spec"]["minMember"], after["spec"]["markUnschedulable"]) == (
        "edited",
        8,
        False,
    )
    assert changes(grown, PodGroup.parse(after)) is None
    patch = changes(replace(grown, queue="third"), PodGroup.parse(after))
    assert patch["spec"] == {"queue": "third"}


def test_one_minimum_replaces_the_other():
    patch = changes(replace(GROUP, min_member=None, min_sub_group=2), PodGroup.parse(written_manifest(GROUP)))
    assert patch["spec"] == {"minMember": None, "minSubGroup": 2}
