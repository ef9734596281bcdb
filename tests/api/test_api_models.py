import pytest
from crd_samples import LEGAL, REFUSED_BY_MODELS, REFUSED_BY_SCHEMA, podgroup, queue, topology

from kai_py.api.duration import Duration
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import UNLIMITED, Queue
from kai_py.api.topology import Topology
from kai_py.errors import MalformedObjectError

MODELS = {model.kind: model for model in (Queue, PodGroup, Topology)}


def parse(obj):
    return MODELS[obj["kind"]].parse(obj)


def faults(obj):
    with pytest.raises(MalformedObjectError) as caught:
        parse(obj)
    return caught.value.faults


@pytest.mark.parametrize("obj", LEGAL.values(), ids=LEGAL)
def test_what_kais_users_may_have_is_read_and_written_back(obj):
    assert parse(parse(obj).to_manifest()) == parse(obj)


@pytest.mark.parametrize(
    ("obj", "field"), (REFUSED_BY_SCHEMA | REFUSED_BY_MODELS).values(), ids=REFUSED_BY_SCHEMA | REFUSED_BY_MODELS
)
def test_whatever_the_api_server_refuses_we_refuse_at_the_same_place(obj, field):
    (fault,) = faults(obj)
    assert fault.where.startswith(obj["kind"])
    assert obj["metadata"]["name"] in fault.where
    assert fault.field.startswith(field)
    assert fault.message


def test_all_faults_are_reported_together():
    found = faults(queue(priority="high", parentQueue=5, resources={"gpu": {"quota": -2, "overQuotaWeight": -1}}))
    assert {fault.field for fault in found} == {
        "spec.priority",
        "spec.parentQueue",
        "spec.resources.gpu.quota",
        "spec.resources.gpu.overQuotaWeight",
    }


def test_faults_of_the_metadata_come_with_those_of_the_spec():
    obj = {**queue(priority="high"), "metadata": {"name": "research", "labels": {"a": 1}}}
    assert [fault.field for fault in faults(obj)] == ["metadata.labels[...]", "spec.priority"]


def test_a_queue_without_resources_may_use_nothing():
    resources = parse(queue()).spec.resources
    assert (resources.gpu.quota, resources.gpu.limit, resources.additional) == (0, 0, ())


def test_minus_one_is_unlimited():
    assert parse(queue(resources={"gpu": {"limit": -1}})).spec.resources.gpu.limit == UNLIMITED


def test_what_the_server_would_prune_is_ignored_and_null_is_absent():
    read = parse(queue(unheardOf=1, parentQueue=None))
    assert read.parent is None
    assert read.display_name == "research"


def test_durations_are_values():
    spec = parse(queue(reclaimMinRuntime="1h30m")).spec
    assert spec.reclaim_min_runtime == Duration.of_seconds(5400)
    assert spec.preempt_min_runtime is None


def test_a_minimum_of_zero_is_not_the_same_as_none():
    assert parse(podgroup(minMember=0)).spec.min_member == 0
    assert parse(podgroup()).spec.min_member is None


def test_every_cycle_is_named_once():
    chain = [{"name": f"g{n}", "parent": f"g{(n + 1) % 4}"} for n in range(4)]
    (fault,) = faults(podgroup(subGroups=[*chain, {"name": "leaf", "parent": "g0", "minMember": 1}]))
    assert fault.message == "the parents form a cycle: g0 → g1 → g2 → g3 → g0"


def test_a_subgroup_with_children_may_still_have_a_minimum_of_its_own_as_old_podgroups_do():
    read = parse(podgroup(subGroups=[{"name": "a", "minMember": 2}, {"name": "b", "parent": "a", "minMember": 1}]))
    assert [subgroup.min_member for subgroup in read.spec.sub_groups] == [2, 1]


def test_the_status_is_read_with_its_odd_spelling():
    waiting = {"type": "UnschedulableOnNodePool", "transitionID": "7", "reasons": [{"reason": "OverLimit"}]}
    read = parse({**podgroup(), "status": {"schedulingConditions": [waiting]}})
    assert read.status.scheduling_conditions[0].transition_id == "7"
    assert read.to_manifest()["status"]["schedulingConditions"] == [waiting]


def test_levels_keep_their_order():
    assert [level.node_label for level in parse(topology("a/zone", "a/rack")).spec.levels] == ["a/zone", "a/rack"]
