"""What the store makes of pods, and of the decisions on their way for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from kai_py.api.meta import PartialObject
from kai_py.api.pod import Pod
from kai_py.cluster.decisions import CONFIRM_WITHIN
from kai_py.cluster.failures import FIRST_PAUSE, NODE_MEMORY
from kai_py.cluster.pods import STUCK_AFTER, key_of
from kai_py.cluster.scope import Scope
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.result import ReasonCode
from kai_py.core.tables.pods import PodKey
from kai_py.errors import InvariantError
from kai_py.podgrouper.grouping import group_of
from kai_py.podgrouper.membership import Membership
from tests.cluster.objects import (
    GPU,
    NOW,
    a_store,
    bind,
    blocked,
    evict,
    leaves,
    node,
    owner,
    pod,
    priority_class,
    put,
    queue,
    row_of,
    states,
    timestamp,
)


def key(name: str) -> PodKey:
    return PodKey("ns", name, f"uid-{name}")


def after(store: Store, seconds: float = 0.0) -> dict[str, str]:
    return states(store.take(NOW + seconds))


def request_of(store: Store, name: str) -> dict[str, int]:
    snapshot = store.take(NOW)
    row = [each.name for each in snapshot.pods.keys].index(name)
    return dict(zip(snapshot.axis.names, snapshot.classes.request[snapshot.pods.class_idx[row]].tolist(), strict=True))


# -- what counts, and as what --------------------------------------------------------------------------


def test_pods_stand_where_the_watch_says():
    store = a_store(
        pod("waits"),
        pod("gated", gated=True),
        pod("runs", on="a"),
        pod("goes", on="a", deleted=NOW - 5),
        pod("stuck", on="a", deleted=NOW - STUCK_AFTER - 1),
        pod("lost", on="nowhere"),
    )
    assert after(store) == {
        "waits": "PENDING",
        "gated": "GATED",
        "runs": "BOUND a",
        "goes": "RELEASING a",
        "stuck": "STUCK a",
        "lost": "BOUND",
    }


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_is_forgotten(phase):
    store = a_store(pod("p", on="a"))
    assert store.put_pod(pod("p", on="a", phase=phase), NOW)
    assert after(store) == {}


def test_a_pod_that_is_deleted_before_it_has_a_node_is_forgotten():
    assert after(a_store(pod("p", deleted=NOW))) == {}


def test_pods_of_other_schedulers_count_only_where_they_hold_capacity():
    store = a_store(
        pod("waits", foreign=True),
        pod("runs", foreign=True, on="a"),
        pod("promised", foreign=True, nominated="b"),
        pod("goes", foreign=True, on="a", deleted=NOW),
    )
    assert after(store) == {"runs": "BOUND a", "promised": "BOUND b", "goes": "RELEASING a"}
    assert set(leaves(store.take(NOW)).values()) == {None}


def test_another_schedulers_promise_ends_when_it_is_taken_back():
    store = a_store(pod("promised", foreign=True, nominated="b"))
    assert store.put_pod(pod("promised", foreign=True), NOW)
    assert after(store) == {}


def test_pods_outside_our_pool_are_other_peoples():
    store = Store(group_of, Scope(pool_label="pool", pool="red"))
    for each in (node("a", labels={"pool": "red"}), node("b", labels={"pool": "blue"})):
        store.put_node(each)
    store.put_pod(pod("ours", labels={"pool": "red"}), NOW)
    store.put_pod(pod("theirs", labels={"pool": "blue"}), NOW)
    store.put_pod(pod("runs", labels={"pool": "blue"}, on="a"), NOW)
    assert after(store) == {"ours": "PENDING", "runs": "BOUND a"}
    assert store.take(NOW).nodes.names == ("a",)


def test_a_node_that_leaves_our_pool_is_forgotten():
    store = Store(group_of, Scope(pool_label="pool", pool="red"))
    store.put_node(node("a", labels={"pool": "red"}))
    assert store.put_node(node("a", labels={"pool": "blue"}))
    assert len(store.take(NOW).nodes) == 0


def test_a_pod_made_anew_under_its_name_is_another_pod():
    store = a_store(pod("p", uid="old", on="a"))
    store.put_pod(pod("p", uid="new"), NOW)
    assert after(store) == {"p": "PENDING"}
    assert not store.drop_pod(PodKey("ns", "p", "old"))
    assert after(store) == {"p": "PENDING"}


def test_a_pod_that_the_grouper_leaves_alone_holds_what_it_has_and_is_not_scheduled():
    skipped = {"kai.scheduler/skip-podgrouper": "true"}
    store = a_store(pod("waits", annotations=skipped), pod("runs", annotations=skipped, on="a"))
    assert after(store) == {"runs": "BOUND a"}
    assert {each.name for each in store.known_pods()} == {"waits", "runs"}
    assert store.pod_key("ns/waits") is None


def test_only_what_matters_is_reported_as_a_change():
    store = a_store(pod("p"))
    assert not store.put_pod(pod("p"), NOW)
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "too large"}
    assert not store.put_pod(pod("p", conditions=[told]), NOW)
    assert store.pods.facts[key("p")].told == ("Unschedulable", "too large")
    assert store.put_pod(pod("p", labels={"kai.scheduler/task-priority": "7"}), NOW)
    assert store.put_pod(pod("p", on="a"), NOW)
    assert not store.put_pod(pod("p", on="a"), NOW)
    assert store.drop_pod(key("p"))
    assert not store.drop_pod(key("p"))


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("-3", -3), ("9" * 63, 2**63 - 1), ("high", -(2**63)), ("", -(2**63)), ("١", -(2**63))],
)
def test_a_task_priority_is_an_int64_or_none(text, value):
    store = a_store(pod("p", labels={"kai.scheduler/task-priority": text}))
    assert store.take(NOW).pods.task_priority.tolist() == [value]


# -- what pods ask for ---------------------------------------------------------------------------------


def test_equal_pods_share_a_class():
    store = a_store(pod("p"), pod("q"), pod("r", requests={"cpu": "2"}))
    first, second, third = store.take(NOW).pods.class_idx.tolist()
    assert first == second != third


def test_a_class_number_is_used_again_only_when_its_pods_are_gone():
    store = a_store(pod("p", requests={"cpu": "1"}), pod("q", requests={"cpu": "2"}))
    store.drop_pod(key("p"))
    store.put_pod(pod("r", requests={"cpu": "3"}), NOW)
    assert (request_of(store, "q")["cpu"], request_of(store, "r")["cpu"]) == (2000, 3000)
    assert len(store.take(NOW).classes) == 2


def test_a_resource_comes_and_goes_with_those_who_have_it_or_ask_for_it():
    store = a_store()
    names = store.take(NOW).axis.names
    store.put_pod(pod("p", requests={"example.com/x": 1}), NOW)
    assert store.take(NOW).axis.names == (*names[:3], "example.com/x", *names[3:])
    store.put_node(node("c", more={"example.com/x": 4}))
    store.drop_pod(key("p"))
    assert "example.com/x" in store.take(NOW).axis.names
    store.nodes.drop("c")
    assert store.take(NOW).axis.names == names


def test_a_malformed_pod_waits_asks_for_nothing_and_is_reported_until_it_is_gone():
    store = a_store(pod("bad", requests={"cpu": "lots"}), pod("good"))
    assert after(store) == {"bad": "GATED", "good": "PENDING"}
    assert blocked(store.take(NOW), "pg-bad-uid-bad") == "PodInvalid"
    assert store.faults["Pod", "ns/bad"][0].field == "spec.containers[0].resources.requests.cpu"
    store.drop_pod(key("bad"))
    assert not store.faults


def test_a_malformed_pod_that_runs_still_takes_its_slot():
    store = a_store(pod("bad", requests={"cpu": "lots"}, on="a"))
    assert request_of(store, "bad") == {"cpu": 0, "memory": 0, "pods": 1, GPU: 0}


def test_what_we_cannot_honour_waits_with_that_reason():
    claims = [{"name": "gpu", "resourceClaimName": "gpu"}]
    part = {"gpu-fraction": "0.5"}
    store = a_store(pod("p", requests={"cpu": "1"}, annotations=part, resourceClaims=claims))
    assert blocked(store.take(NOW), "pg-p-uid-p") == "Unsupported"
    store.put_pod(pod("p", requests={"cpu": "1"}, annotations=part, resourceClaims=claims, on="a"), NOW)
    assert blocked(store.take(NOW), "pg-p-uid-p") is None


def test_absurd_amounts_do_not_overflow_a_queues_sum():
    store = a_store()
    for number in range(3000):
        store.put_pod(pod(f"p{number}", requests={"memory": "64Ti", "nvidia.com/mig-7g.80gb": 2**31}), NOW)
    snapshot = store.take(NOW)
    assert (snapshot.classes.accounted >= 0).all()
    shares = run_cycle(snapshot, Options(), clock=lambda: 0.0).shares
    assert (shares.requested > 0).tolist() == [[False, True, True]]


# -- decisions on their way ----------------------------------------------------------------------------


def test_an_assumed_pod_counts_as_bound_at_once():
    store = a_store(pod("p"))
    store.decisions.assume(bind("p", "a"), NOW)
    assert after(store) == {"p": "BOUND a"}


def test_an_assumed_eviction_counts_from_the_moment_it_was_decided():
    store = a_store(pod("p", on="a"))
    store.decisions.assume(evict("p"), NOW)
    store.put_pod(pod("p", on="a", labels={"new": "label"}), NOW + 100)
    assert after(store, 100) == {"p": "RELEASING a"}
    assert after(store, STUCK_AFTER + 1) == {"p": "STUCK a"}


def test_a_released_decision_leaves_the_pod_as_it_was_and_nothing_behind():
    store = a_store(pod("p"), pod("q", on="a"))
    for decision in (bind("p", "a"), evict("q")):
        store.decisions.assume(decision, NOW)
        store.decisions.release(decision, NOW)
    assert after(store) == {"p": "PENDING", "q": "BOUND a"}
    assert store.failures.next_expiry(NOW) is None


def test_giving_up_an_eviction_does_not_forget_that_the_pod_was_told_to_go():
    store = a_store(pod("p", on="a", deleted=NOW - 5))
    store.decisions.assume(evict("p"), NOW)
    store.decisions.forget(evict("p"), NOW, blame_node=False)
    assert after(store) == {"p": "RELEASING a"}


def test_a_refused_bind_pauses_the_pod_and_keeps_it_from_the_node_that_is_to_blame():
    store = a_store(pod("p"))
    store.decisions.assume(bind("p", "a"), NOW)
    store.decisions.forget(bind("p", "a"), NOW, blame_node=True)
    assert after(store) == {"p": "GATED"}
    assert blocked(store.take(NOW), "pg-p-uid-p") == "BackingOff"
    assert store.failures.next_expiry(NOW) == NOW + FIRST_PAUSE
    assert store.carryover.tidy(NOW + FIRST_PAUSE)
    assert after(store, FIRST_PAUSE) == {"p": "PENDING"}
    assert excluded(store, FIRST_PAUSE) == {"a"}
    assert store.carryover.tidy(NOW + NODE_MEMORY)
    assert excluded(store, NODE_MEMORY) == set()
    assert not store.carryover.tidy(NOW + NODE_MEMORY)


def excluded(store: Store, seconds: float) -> set[str]:
    snapshot = store.take(NOW + seconds)
    return set(snapshot.classes.classes[snapshot.pods.class_idx[0]].excluded)


def test_the_watch_may_be_faster_than_the_answer():
    store = a_store(pod("p"))
    store.decisions.assume(bind("p", "a"), NOW)
    store.put_pod(pod("p", on="a"), NOW)
    store.decisions.acknowledge(bind("p", "a"))
    assert len(store.assumptions) == 0
    assert after(store) == {"p": "BOUND a"}


def test_a_refusal_after_the_watch_has_shown_the_pod_bound_changes_nothing():
    store = a_store(pod("p"))
    store.decisions.assume(bind("p", "a"), NOW)
    store.put_pod(pod("p", on="b"), NOW)
    store.decisions.forget(bind("p", "a"), NOW, blame_node=True)
    assert after(store) == {"p": "BOUND b"}
    assert len(store.failures) == 0


def test_a_refusal_for_a_pod_that_is_gone_leaves_nothing_behind():
    store = a_store(pod("p"))
    store.decisions.assume(bind("p", "a"), NOW)
    store.put_pod(pod("p", deleted=NOW), NOW)
    store.decisions.forget(bind("p", "a"), NOW, blame_node=True)
    assert len(store.failures) == len(store.assumptions) == 0
    assert after(store) == {}


def test_news_about_a_pod_do_not_end_a_decision_that_they_do_not_show():
    store = a_store(pod("p"), pod("q", on="a"))
    store.decisions.assume(bind("p", "a"), NOW)
    store.decisions.assume(evict("q"), NOW)
    store.put_pod(pod("p", labels={"new": "label"}), NOW)
    store.put_pod(pod("q", on="a", labels={"new": "label"}), NOW)
    assert after(store) == {"p": "BOUND a", "q": "RELEASING a"}
    store.put_pod(pod("q", on="a", deleted=NOW), NOW)
    assert [each.name for each, _ in store.assumptions] == ["p"]


def test_a_pod_whose_bind_is_on_its_way_holds_its_place_even_if_it_wants_to_be_left_alone_now():
    store = a_store(pod("p"))
    store.decisions.assume(bind("p", "a"), NOW)
    store.put_pod(pod("p", annotations={"kai.scheduler/skip-podgrouper": "true"}), NOW)
    assert after(store) == {"p": "BOUND a"}


def test_a_sent_decision_that_nobody_confirms_is_given_up():
    store = a_store(pod("p"), pod("q", on="a"))
    for decision in (bind("p", "a"), evict("q")):
        store.decisions.assume(decision, NOW)
        store.decisions.acknowledge(decision)
    assert not store.carryover.tidy(NOW + CONFIRM_WITHIN)
    assert store.carryover.tidy(NOW + CONFIRM_WITHIN + 1)
    assert after(store) == {"p": "PENDING", "q": "BOUND a"}


def test_a_decision_that_is_still_being_sent_is_not_given_up():
    store = a_store(pod("p"))
    store.decisions.assume(bind("p", "a"), NOW)
    assert not store.carryover.tidy(NOW + 10 * CONFIRM_WITHIN)
    assert after(store) == {"p": "BOUND a"}


def test_two_decisions_about_one_pod_are_a_bug():
    store = a_store(pod("p"))
    store.decisions.assume(bind("p", "a"), NOW)
    with pytest.raises(InvariantError):
        store.decisions.assume(bind("p", "b"), NOW)


def test_a_pod_that_is_bound_forgets_its_failures():
    store = a_store(pod("p"))
    store.decisions.assume(bind("p", "a"), NOW)
    store.decisions.forget(bind("p", "a"), NOW, blame_node=True)
    store.put_pod(pod("p", on="a"), NOW)
    assert len(store.failures) == 0


def test_slots_are_balanced_after_everybody_is_gone():
    store = a_store(pod("p"), pod("q", on="a"), pod("r", group="g", subgroup="x"), pod("s", foreign=True, on="b"))
    store.decisions.assume(bind("p", "a"), NOW)
    store.take(NOW)
    for each in store.known_pods():
        store.drop_pod(each)
    snapshot = store.take(NOW)
    assert (len(snapshot.pods), len(snapshot.podgroups), len(snapshot.subgroups)) == (0, 0, 0)
    assert not store.pods._nodes._number
    assert not store.classes._number
    assert not store.groups._rows._queues._number
    assert len(store.groups._free) == store.groups._slots
    assert (store.names._names, store.layout._kept, store.owners._pods) == ({}, {}, {})


# -- owners and priorities -----------------------------------------------------------------------------


def test_a_running_pod_is_grouped_anew_when_its_owner_becomes_known():
    store = a_store(queue("research"), pod("p", on="a", queue="", owner=("Job", "train")))
    put(store, owner("Job", "train", labels={"kai.scheduler/queue": "research"}))
    snapshot = store.take(NOW)
    assert snapshot.queues.names[snapshot.podgroups.queue_idx[0]] == "research"
    assert len(store.layout._kept) == 1


def test_of_a_running_podgroup_one_pod_is_kept_so_that_all_follow_their_owner():
    running = [pod(f"p{index}", on="a", queue="", owner=("Job", "train")) for index in range(3)]
    store = a_store(queue("research"), owner("Job", "train"), *running)
    assert len(store.layout._kept) == 1
    put(store, owner("Job", "train", labels={"kai.scheduler/queue": "research"}))
    snapshot = store.take(NOW)
    assert snapshot.queues.names[snapshot.podgroups.queue_idx[0]] == "research"
    assert not store.groups.groups["ns", "pg-train-uid-train"].divided
    store.drop_pod(next(iter(store.layout._kept)))
    assert not store.layout._kept
    put(store, next(each for each in running if key_of(each) in store.pods.facts))
    assert len(store.layout._kept) == 1


def test_owners_are_heard_across_generations_and_in_any_order():
    store = a_store(queue("research"), pod("p", queue="", owner=("Job", "run")), pod("q", queue=""))
    put(store, owner("Job", "run", above=("CronJob", "nightly")))
    assert put(store, owner("CronJob", "nightly", labels={"kai.scheduler/queue": "research"}))
    snapshot = store.take(NOW)
    row = row_of(snapshot, "pg-run-uid-run")
    assert snapshot.queues.names[snapshot.podgroups.queue_idx[row]] == "research"


def test_an_owners_status_wakes_nobody():
    store = a_store(pod("p", owner=("Job", "train")))
    put(store, owner("Job", "train"))
    assert not put(store, owner("Job", "train", resourceVersion="2"))
    assert not put(store, owner("Job", "other"))


def test_a_pod_is_scheduled_once_its_owner_no_longer_asks_to_be_left_alone():
    store = a_store(pod("p", owner=("Job", "train")))
    put(store, owner("Job", "train", annotations={"kai.scheduler/skip-podgrouper": "true"}))
    assert after(store) == {}
    put(store, owner("Job", "train"))
    assert after(store) == {"p": "PENDING"}


def test_a_malformed_owner_stops_its_waiting_pods_and_is_reported():
    broken = {"kai.scheduler/batch-min-member": "two"}
    store = a_store(pod("p", owner=("Job", "train")), pod("q", owner=("Job", "train"), on="a"), pod("other"))
    put(store, owner("Job", "train", annotations=broken))
    assert after(store) == {"p": "GATED", "q": "BOUND a", "other": "PENDING"}
    (reason,) = {blocked[0] for blocked in store.take(NOW).podgroups.blocked.values()}
    assert reason is ReasonCode.OWNER_INVALID
    assert [owner.metadata.name for owner, _ in store.lineages.untold.values()] == ["train"]
    assert leaves(store.take(NOW))["q"] == "pg-train-uid-train/"
    assert ("Grouping", "ns/p") in store.faults
    put(store, owner("Job", "train"))
    assert after(store) == {"p": "PENDING", "q": "BOUND a", "other": "PENDING"}
    assert ("Grouping", "ns/p") not in store.faults


def test_what_is_wrong_with_a_pods_owner_is_forgotten_with_the_pod():
    store = a_store(owner("Job", "train", annotations={"kai.scheduler/batch-min-member": "two"}))
    store.put_pod(pod("p", owner=("Job", "train")), NOW)
    store.drop_pod(key("p"))
    assert not store.faults


def test_a_priority_class_that_is_made_later_counts_for_pods_that_wait():
    store = Store(lambda each, owners: group_of(each, owners, priority_classes=store.priorities))
    store.put_pod(pod("p", labels={"priorityClassName": "high"}), NOW)
    assert store.take(NOW).podgroups.priority.tolist() == [50]
    store.put_priority_class(priority_class("high", 75))
    assert store.take(NOW).podgroups.priority.tolist() == [75]


# -- what is shared ------------------------------------------------------------------------------------


def test_snapshots_share_what_did_not_change():
    store = a_store(pod("p"), pod("q"))
    first = store.take(NOW)
    store.put_node(node("a", beat=5))
    store.put_pod(pod("q", on="a"), NOW)
    second = store.take(NOW)
    assert (second.nodes, second.queues, second.podgroups, second.axis) == (
        first.nodes,
        first.queues,
        first.podgroups,
        first.axis,
    )
    assert second.podgroups is first.podgroups
    assert states(first) == {"p": "PENDING", "q": "PENDING"}


def test_a_pod_is_known_by_its_name():
    store = a_store(pod("p"))
    assert store.pod_key("ns/p") == key("p") == key_of(pod("p"))
    assert store.pod_key("ns/q") is None


def test_the_memory_of_running_pods_is_small():
    """Of a pod that runs and whose owners are known nothing is kept but facts, one pod of each podgroup apart."""
    web = owner("ReplicaSet", "web", above=("Deployment", "shop"))
    store = a_store(web, owner("Deployment", "shop"), pod("p", on="a", owner=("ReplicaSet", "web")))
    assert not store.layout._kept
    waiting = pod("q")
    store.put_pod(waiting, NOW)
    store.put_pod(replace(waiting, spec=replace(waiting.spec, node_name="a")), NOW)
    assert not store.layout._kept


def test_a_timestamp_that_cannot_be_read_is_no_reason_to_stop():
    meta = pod("p").metadata
    store = a_store(replace(pod("p"), metadata=replace(meta, creation_timestamp="yesterday")))
    assert store.take(NOW).pods.created.tolist() == [0.0]
    assert timestamp(NOW).startswith("2027-")


# -- where pods belong when they change ----------------------------------------------------------------


def test_a_pod_that_only_gets_its_node_is_not_grouped_again():
    asked = []

    def counting(pod: Pod, owners: Mapping[str, PartialObject]) -> Membership | None:
        asked.append(pod.metadata.name)
        return group_of(pod, owners)

    store = Store(counting)
    for each in (node("a"), queue(), pod("one", requests={"cpu": "1"})):
        put(store, each)
    [before] = store.take(NOW).podgroups.keys
    asked.clear()
    put(store, pod("one", on="a", requests={"cpu": "1"}))
    assert asked == []
    snapshot = store.take(NOW)
    assert states(snapshot) == {"one": "BOUND a"}
    assert list(snapshot.podgroups.keys) == [before]


@pytest.mark.parametrize(
    "change",
    [{"queue": "other"}, {"group": "named"}, {"annotations": {"kai.scheduler/user": "me"}}, {"priorityClassName": "b"}],
)
def test_a_pod_that_changes_while_it_gets_its_node_is_laid_out_as_if_it_had_always_been_so(change: dict[str, Any]):
    moved, fresh = (a_store(queue("other"), priority_class("b", 7)) for _ in range(2))
    put(moved, pod("one"))
    for store in (moved, fresh):
        put(store, pod("one", on="a", **change))
    assert leaves(moved.take(NOW)) == leaves(fresh.take(NOW))
    assert moved.pods.facts[key("one")].place == fresh.pods.facts[key("one")].place
