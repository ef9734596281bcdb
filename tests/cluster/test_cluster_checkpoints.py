"""When work was saved last: what podgroups and their pods say, and how much would be lost with them."""

from __future__ import annotations

from math import inf

import pytest

from kai_py.api.keys import LAST_CHECKPOINT_ANNOTATION as SAVED
from kai_py.api.podgroup import PodGroup
from kai_py.core.options import Options
from kai_py.core.tables.pods import PodKey
from kai_py.core.victims.costs import Costs
from tests.cluster.objects import NOW, a_store, owner, pod, put, reference, row_of, timestamp


def says(when):
    return {SAVED: when if isinstance(when, str) else timestamp(when)} if when is not None else {}


def stamped(when=None, name="g", owners=()):
    meta = {"name": name, "namespace": "ns", "uid": "u", "annotations": says(when)}
    meta["ownerReferences"] = [reference("Job", each) for each in owners]
    return PodGroup.parse({"metadata": meta, "spec": {"queue": "team"}})


def saving(name, when, **what):
    return pod(name, on="a", annotations=says(when), **what)


def saved(store, name="g", now=NOW):
    snapshot = store.take(now)
    history = snapshot.podgroups.history
    return history.checkpointed[row_of(snapshot, name)] if history is not None else -inf


def lost(store, *, now=NOW):
    """Seconds of work that the only podgroup would lose, without the restart."""
    return Costs(store.take(now), Options(restart_seconds=0.0)).seconds.tolist()


def test_a_podgroup_says_it():
    store = a_store(stamped(NOW - 60), pod("p", on="a", group="g"))
    assert saved(store) == NOW - 60
    put(store, stamped(NOW - 10))
    assert saved(store) == NOW - 10
    put(store, stamped())
    assert saved(store) == -inf


def test_a_pod_that_stands_alone_says_it():
    store = a_store(saving("p", NOW - 60))
    (name,) = store.groups.groups
    store.history.started(name, NOW - 1000)
    assert lost(store) == [60]
    put(store, saving("p", NOW - 5))
    assert lost(store) == [5]


def test_a_pod_of_a_deployment_says_it():
    store = a_store(saving("p", NOW - 60, owner=("ReplicaSet", "web"), labels={"pod-template-hash": "1"}))
    assert store.take(NOW).podgroups.history.checkpointed.tolist() == [NOW - 60]


def test_of_all_that_is_said_the_latest_counts():
    store = a_store(stamped(NOW - 60), saving("p", NOW - 30, group="g"), saving("q", NOW - 90, group="g"))
    assert saved(store) == NOW - 30
    put(store, stamped(NOW - 20))
    assert saved(store) == NOW - 20
    store.drop_pod(PodKey("ns", "p", "uid-p"))
    put(store, stamped())
    assert saved(store) == NOW - 30


def test_the_owner_of_a_podgroup_says_it_whoever_comes_first():
    job = owner("Job", "j", annotations=says(NOW - 50))
    runs = pod("p", on="a", group="g")
    for objects in ([stamped(owners=["j"]), job, runs], [job, runs, stamped(owners=["j"])]):
        store = a_store(*objects)
        assert saved(store) == NOW - 50
        put(store, owner("Job", "j", annotations=says(NOW - 5)))
        assert saved(store) == NOW - 5
        put(store, owner("Job", "j"))
        assert saved(store) == -inf


def test_an_owner_speaks_for_its_own_podgroups_alone():
    running = [pod(name, on="a", group=name) for name in "gh"]
    store = a_store(stamped(owners=["j"]), stamped(name="h", owners=["k"]), *running)
    put(store, owner("Job", "j", annotations=says(NOW - 50)))
    assert (saved(store), saved(store, "h")) == (NOW - 50, -inf)
    put(store, stamped(owners=["k"]))
    put(store, stamped(name="h", owners=["j", "k"]))
    assert (saved(store), saved(store, "h")) == (-inf, NOW - 50)


def test_what_an_owner_says_wrong_goes_with_it():
    store = a_store(owner("Job", "j", annotations=says("yesterday")))
    assert store.history.checkpoints.faults.keys() == {("Job", "ns/j")}
    store.lineages.drop("uid-j")
    assert store.history.checkpoints.faults == store.history.checkpoints.untold == {}


def test_nothing_is_remembered_of_podgroups_that_are_gone():
    store = a_store(stamped(NOW - 50, owners=["j"]), owner("Job", "j", annotations=says(NOW - 50)))
    store.drop_podgroup(("ns", "g"))
    store.lineages.drop("uid-j")
    book = store.history.checkpoints
    assert [book._of_objects, book._of_pods, book._of_owners, book._owners, book._owned] == [{}] * 5


@pytest.mark.parametrize("text", ["yesterday", "1800000000", "2026-01-31T12:00:00", "2026-13-01T00:00:00Z"])
def test_what_is_no_timestamp_is_noted_and_passed_over(text):
    store = a_store(stamped(text), pod("p", on="a", group="g"))
    assert saved(store) == -inf
    faults = store.history.checkpoints.faults
    assert faults.keys() == {("PodGroup", "ns/g")}
    assert faults["PodGroup", "ns/g"].where == "PodGroup ns/g"
    assert text in faults["PodGroup", "ns/g"].message
    put(store, stamped(NOW - 10))
    assert faults == {}
    assert saved(store) == NOW - 10


def test_a_pod_takes_its_fault_along():
    store = a_store(saving("p", "yesterday"))
    assert store.history.checkpoints.faults.keys() == {("Pod", "ns/p")}
    store.drop_pod(PodKey("ns", "p", "uid-p"))
    assert store.history.checkpoints.faults == store.history.checkpoints.untold == {}


def test_a_checkpoint_is_no_reason_for_a_cycle():
    store = a_store(pod("p", on="a"))
    assert not put(store, saving("p", NOW - 60))
    assert store.take(NOW).podgroups.history.checkpointed.tolist() == [NOW - 60]


def test_a_podgroup_that_is_gone_is_forgotten():
    store = a_store(saving("p", NOW - 60))
    (name,) = store.groups.groups
    store.put_pod(pod("p", on="a", phase="Succeeded"), NOW)
    store.carryover.tidy(NOW + 120)
    assert store.history.checkpoints.of(name) == -inf
