"""What differs between files and a cluster, and what only looks as if it did."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.errors import InputError
from kai_py.planning.drift import DEFAULT_QUEUES, Difference, differences, read_wanted
from kai_py.planning.manifests import Sourced, Unreadable

GPU = {"quota": 8, "limit": -1, "overQuotaWeight": 1}


def queue(name="team", **spec):
    return {
        "apiVersion": "scheduling.run.ai/v2",
        "kind": "Queue",
        "metadata": {"name": name},
        "spec": {"resources": {"gpu": GPU}} | spec,
    }


def values(**sections):
    return {"defaultQueues": {"create": False}, **sections}


def wanted(*documents):
    return read_wanted([Sourced(document) for document in documents])


def found(want, *live, settings=None):
    return list(differences(want, {"Queue": [one for one in live if one["kind"] == "Queue"], "Topology": []}, settings))


def test_a_cluster_that_is_as_its_files_say_does_not_drift():
    assert found(wanted(values(queues={"team": queue()["spec"]})), queue()) == []
    assert found(wanted(queue()), queue()) == []


def test_a_default_that_is_written_down_is_no_drift():
    written = queue(priority=100, parentQueue="", displayName="", preemptMinRuntime=None)
    assert found(wanted(queue()), written) == []
    assert found(wanted(queue(reclaimMinRuntime="60s")), queue(reclaimMinRuntime="1m")) == []


def test_settings_that_mean_the_same_are_no_drift():
    want = wanted(values(settings={"gangs": {"stalenessGracePeriod": "1m"}}))
    assert found(want, settings="gangs: {stalenessGracePeriod: 60s}") == []
    assert found(want, settings="") == []
    assert found(want, settings=None) == []


def test_each_field_that_differs_is_named():
    changed = queue(resources={"gpu": {**GPU, "quota": 4, "limit": 6}}, priority=7)
    assert found(wanted(queue()), changed) == [
        Difference("Queue", "team", "differs", "priority", 100, 7),
        Difference("Queue", "team", "differs", "resources.gpu.limit", -1.0, 6.0),
        Difference("Queue", "team", "differs", "resources.gpu.quota", 8.0, 4.0),
    ]


def test_what_is_missing_and_what_is_extra():
    one, other = found(wanted(queue("a")), queue("b"))
    assert (one.name, one.change, one.wanted) == ("a", "missing", queue()["spec"])
    assert (other.name, other.change, other.live) == ("b", "extra", queue()["spec"])


def test_settings_that_differ_are_told_by_their_path():
    want = wanted(values(settings={"placement": {"gpu": "spread"}}))
    assert found(want, settings="fairness: {kValue: 2}") == [
        Difference("Settings", "", "differs", "fairness.kValue", 1.0, 2.0),
        Difference("Settings", "", "differs", "placement.gpu", "spread", "binpack"),
    ]


def test_a_live_document_that_cannot_be_used_is_one_difference():
    (one,) = found(wanted(values(settings={})), settings="placment: {}")
    assert (one.kind, one.change) == ("Settings", "differs")
    assert "placment" in str(one.live)


def test_what_no_file_speaks_of_is_not_compared():
    want = wanted(queue())
    assert want.settings is None
    assert set(want.specs) == {"Queue"}
    assert found(want, queue(), settings="fairness: {kValue: 2}") == []


def test_values_without_queues_mean_those_that_the_chart_makes():
    assert wanted({"blueprint": {"name": "a", "version": "1.0.0"}}).specs["Queue"] == DEFAULT_QUEUES
    assert wanted({"blueprint": {"name": "a", "version": "1.0.0"}}).blueprint == "a@1.0.0"


def test_other_manifests_are_passed_over_and_settings_are_found_among_them():
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    data = {"settings.yaml": "placement: {gpu: spread}"}
    configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kai-py-settings"}, "data": data}
    want = wanted(service, configmap)
    assert want.specs == {}
    assert want.settings == {"placement": {"gpu": "spread"}}


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([queue(resources={"gpu": {"quota": "many"}})], "resources.gpu.quota"),
        ([values(queues={"team": {"priority": "high"}})], "priority"),
        ([values(settings={"placment": {}})], "did you mean placement?"),
        ([values(queues=["team"])], "queues: should be a mapping"),
        ([queue(), queue()], "is given twice"),
        ([values(settings={}), values(settings={})], "are given twice"),
        ([{"kind": "Queue"}], "apiVersion: is required"),
        ([Unreadable("cannot be read")], "cannot be read"),
        (["text"], "should be values of the chart or a manifest"),
        ([], "speak of no queues"),
    ],
)
def test_bad_files_are_refused_with_the_place(documents, said):
    with pytest.raises(InputError) as refused:
        read_wanted([Sourced(document, "team.yaml") for document in documents])
    assert said in str(refused.value)
    if documents:
        assert str(refused.value).startswith("team.yaml")


def test_all_faults_are_told_together():
    with pytest.raises(InputError) as refused:
        wanted(queue("a", priority="x"), queue("b", priority="y"))
    assert len(refused.value.faults) == 2


specs = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.builds(
        lambda quota, priority: {"resources": {"gpu": {**GPU, "quota": quota}}, "priority": priority},
        st.integers(-1, 3),
        st.integers(99, 101),
    ),
)


@given(specs, specs)
def test_there_is_drift_if_and_only_if_they_mean_different_things(want, live):
    result = found(wanted(values(queues=want)), *(queue(name, **spec) for name, spec in live.items()))
    assert {(one.name, one.change) for one in result} == {
        *((name, "missing") for name in want.keys() - live.keys()),
        *((name, "extra") for name in live.keys() - want.keys()),
        *((name, "differs") for name in want.keys() & live.keys() if want[name] != live[name]),
    }
