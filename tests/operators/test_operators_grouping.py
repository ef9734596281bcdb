"""The rules of grouping change while the scheduler runs."""

from __future__ import annotations

import json

from kai_py.cluster.pods import key_of
from kai_py.cluster.store import Store
from kai_py.operators.grouping import LiveGrouping
from kai_py.operators.settings import LiveSettings
from kai_py.settings.load import load_settings
from kai_py.telemetry.metrics import Metrics
from tests.cluster.objects import NOW, owner, pod, priority_class

NAMED = {"podGroups": {"defaultPrioritiesConfigMap": {"namespace": "kai", "name": "defaults"}}}


def a_grouping(document=None):
    told = []
    settings = LiveSettings(load_settings(document or {}), Metrics())
    grouping = LiveGrouping(settings, leading=lambda: True, tell=told.append)
    store = Store(grouping)
    grouping.serve(store)
    return settings, grouping, store, told


def change(settings, grouping, store, document):
    accepted = []
    settings.load(document, "test", accept=accepted.append)
    assert accepted
    if grouping.configure():
        store.lineages.regroup(NOW)


def terms(store, each):
    return store.pods.facts[key_of(each)].place.terms


def test_a_kind_that_settings_describe_is_grouped_anew_at_once():
    settings, grouping, store, _ = a_grouping()
    each = pod("p", owner=("Run", "r"))
    store.lineages.put(owner("Run", "r"), NOW)
    store.put_pod(each, NOW)
    assert (terms(store, each).min_member, terms(store, each).priority_class) == (1, "train")
    kind = {"group": "example.com", "kind": "Run", "minMember": 3, "priorityClass": "build"}
    change(settings, grouping, store, {"podGroups": {"kinds": [kind]}})
    assert (terms(store, each).min_member, terms(store, each).priority_class) == (3, "build")
    change(settings, grouping, store, {"podGroups": {}, "gpuSharing": "trusted"})
    assert terms(store, each).min_member == 1


def test_default_priorities_come_change_and_go():
    settings, grouping, store, _ = a_grouping(NAMED)
    store.put_priority_class(priority_class("high", 90))
    each = pod("p")
    store.put_pod(each, NOW)
    data = {"types": json.dumps([{"typeName": "Pod", "priorityName": "high"}])}
    assert grouping.take_defaults(data)
    assert not grouping.take_defaults(data)
    store.lineages.regroup(NOW)
    assert terms(store, each).priority_class == "high"
    change(settings, grouping, store, {"podGroups": {"knativeGangSchedule": False}})
    assert terms(store, each).priority_class == "train"


def test_what_is_passed_over_is_told_once():
    _, _, store, told = a_grouping()
    store.lineages.put(owner("Job", "train", labels={"priorityClassName": "absent"}), NOW)
    for name in ("p", "q", "p"):
        store.put_pod(pod(name, owner=("Job", "train")), NOW)
    (event,) = told
    assert "there is no PriorityClass 'absent'" in event.note
