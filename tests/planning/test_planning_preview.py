"""What a change would change."""

import pytest

from kai_py import plan
from kai_py.errors import InputError
from kai_py.planning.manifests import Sourced
from kai_py.planning.preview import preview
from kai_py.telemetry.comparison import comparison

from .builders import NOW, node, pod, queue


def cluster(first=4, second=4):
    """A node of 8 GPUs: queue ``first`` has it all, of which half belongs to ``second``, if quotas say so."""
    return [
        node(gpus=8),
        queue("first", first),
        queue("second", second),
        *(pod(f"old-{n}", queue="first", on="n1", owner=f"old-{n}") for n in range(8)),
        *(pod(f"new-{n}", queue="second") for n in range(2)),
    ]


def asked(objects, *changes, **options):
    found = [Sourced(one, f"change.yaml document {n}") for n, one in enumerate(changes, start=1)]
    return preview(map(Sourced, objects), found, now=NOW, **options).to_dict()


def names(entries):
    return [one.get("pod") or one["podGroup"] for one in entries]


def test_no_change_is_no_difference():
    answer = asked(cluster())
    assert answer["same"]
    assert not answer["queues"]
    assert not any(found for kind in ("evictions", "starts", "waiting") for found in answer[kind].values())


def test_a_quota_that_is_taken_away_shows_who_stays_and_who_waits():
    answer = asked(cluster(), queue("second", 0, weight=0))
    assert not answer["same"]
    assert answer["queues"]["second"]["gpu"]["fairShare"] == {"before": 2.0, "after": 0.0}
    assert len(answer["evictions"]["fewer"]) == 2
    assert not answer["evictions"]["more"]
    assert names(answer["starts"]["fewer"]) == ["default/new-0", "default/new-1"]
    assert {reason["code"] for one in answer["waiting"]["more"] for reason in one["reasons"]} >= {"OverFairShare"}


def test_a_change_and_its_undoing_are_mirror_images():
    less, more = queue("second", 0, weight=0), queue("second", 4)
    there = asked(cluster(), less)
    back = asked([*cluster()[:2], less, *cluster()[3:]], more)
    for kind in ("evictions", "starts", "waiting"):
        assert there[kind]["more"] == back[kind]["fewer"]
        assert there[kind]["fewer"] == back[kind]["more"]
    assert there["evictions"]["fewer"]


def test_settings_alone_are_a_change():
    answer = asked(cluster(), {"actions": {"order": ["allocate"]}})
    assert len(answer["evictions"]["fewer"]) == 2
    assert len(answer["waiting"]["more"]) == 2
    assert not answer["warnings"]


def test_both_sides_are_plans():
    change = {"actions": {"order": ["allocate"]}}
    before, after = (plan(cluster(), 3, settings, NOW).to_dict() for settings in (None, change))
    expected = comparison(before, after)
    assert {key: value for key, value in asked(cluster(), change).items() if key in expected} == expected


def test_a_new_node_shows_who_starts_elsewhere():
    bigger = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n0"}, "status": node()["status"]}
    answer = asked(cluster(), bigger)
    assert [(one["pod"], one["before"], one["after"]) for one in answer["starts"]["elsewhere"]] == [
        ("default/new-0", "n1", "n0"),
        ("default/new-1", "n1", "n0"),
    ]
    assert len(answer["evictions"]["fewer"]) == 2


def test_all_faults_of_a_change_are_told_at_once():
    wrong = queue("second", "many")
    with pytest.raises(InputError) as caught:
        asked(cluster(), {"fairness": {"kvalue": 1}, "gangs": 7}, wrong, {"placement": {}})
    said = "\n".join(map(str, caught.value.faults))
    assert "change.yaml document 1: fairness.kvalue: is not a setting: did you mean kValue?" in said
    assert "change.yaml document 1: gangs" in said
    assert "change.yaml document 2: Queue second: spec.resources.gpu.quota" in said
    assert "change.yaml document 3: is a second settings document, beside change.yaml document 1" in said


def test_what_needs_a_restart_is_said():
    answer = asked(cluster(), {"schedulerNames": ["kai-scheduler", "other"]})
    assert ["schedulerNames cannot change" in one for one in answer["warnings"]] == [True]
