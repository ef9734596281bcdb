"""Owners that are on their way: who waits for whom, and what is read again when something comes."""

from __future__ import annotations

from kai_py.api.decode import convert
from kai_py.api.workload import Workload
from kai_py.cluster.owner_kinds import OwnerKinds
from kai_py.cluster.pods import key_of
from kai_py.cluster.store import Store
from kai_py.core.result import ReasonCode
from kai_py.podgrouper.grouping import Grouper
from tests.cluster.objects import NOW, owner, pod, reference

JOB = ("batch", "Job")
CUSTOM = ("example.com", "Run")


def ref(kind, name):
    return pod("p", owner=(kind, name)).metadata.owner_references[0]


def a_store(*followed):
    def group_of(each, owners):
        return grouper(each, owners)

    store = Store(group_of)
    grouper = Grouper(surroundings=store.around, expects=store.owners.kinds.expects)
    store.owners.kinds.follow(followed)
    return store


def waits_for(store, each):
    problem = store.pods.facts[key_of(each)].problem
    return None if problem is None else (problem[0], problem[1]["owner"])


def group_name(store, each):
    return store.pods.facts[key_of(each)].place.group[1]


def test_nobody_waits_where_nothing_is_followed():
    kinds = OwnerKinds()
    assert not kinds.expects(ref("Job", "train"), "ns")
    assert not kinds.want(CUSTOM)
    assert not kinds.wanted


def test_a_kind_is_wanted_once_and_waited_for_until_it_turns_out_to_be_absent():
    kinds, calls = OwnerKinds(), []
    kinds.on_wanted = lambda: calls.append(1)
    kinds.follow([JOB])
    assert kinds.expects(ref("Job", "train"), "ns")
    assert kinds.expects(ref("Run", "a"), "ns")
    assert kinds.expects(ref("Run", "b"), "ns")
    assert (list(kinds.wanted), len(calls)) == ([CUSTOM], 1)
    assert kinds.settle(CUSTOM, served=False)
    assert not kinds.expects(ref("Run", "a"), "ns")
    assert kinds.settle(CUSTOM, served=True)
    assert not kinds.settle(CUSTOM, served=True)
    assert kinds.expects(ref("Run", "a"), "ns")


def test_a_pod_that_owns_pods_is_asked_for_once_and_not_waited_for_when_it_is_gone():
    store = a_store(JOB)
    each = pod("p", owner=("Pod", "driver"))
    each.metadata.owner_references[0]
    meta = {"name": "p", "namespace": "ns", "uid": "uid-p"}
    above = {**reference("Pod", "driver"), "apiVersion": "v1"}
    each = convert(
        type(each), {"metadata": {**meta, "ownerReferences": [above]}, "spec": {"schedulerName": "kai-scheduler"}}
    )
    store.put_pod(each, NOW)
    assert waits_for(store, each) == (ReasonCode.OWNER_PENDING, "Pod ns/driver")
    assert list(store.owners.kinds.wanted_pods) == [("ns", "driver", "uid-driver")]
    store.lineages.settle_pod("uid-driver", exists=False, now=NOW)
    assert (waits_for(store, each), group_name(store, each)) == (None, "pg-driver-uid-driver")


def test_a_pod_waits_for_its_owner_and_for_the_owner_of_that():
    store, each = a_store(JOB, CUSTOM), pod("p", owner=("Job", "train"))
    store.put_pod(each, NOW)
    assert waits_for(store, each) == (ReasonCode.OWNER_PENDING, "Job ns/train")
    assert store.lineages.put(owner("Job", "train", above=("Run", "r")), NOW)
    assert waits_for(store, each) == (ReasonCode.OWNER_PENDING, "Run ns/r")
    store.lineages.put(owner("Run", "r"), NOW)
    assert (waits_for(store, each), group_name(store, each)) == (None, "pg-train-uid-train")


def test_a_pod_that_waits_for_its_owner_is_not_scheduled_and_one_that_runs_counts():
    store = a_store(JOB)
    waiting, running = pod("p", owner=("Job", "train")), pod("q", owner=("Job", "train"), on="a")
    store.put_pod(waiting, NOW)
    store.put_pod(running, NOW)
    blocked = store.take(NOW).podgroups.blocked
    assert [reason for reason, _ in blocked.values() if reason is ReasonCode.OWNER_PENDING] == [
        ReasonCode.OWNER_PENDING
    ]
    assert group_name(store, running) == "pg-train-uid-train"


def test_a_kind_that_cannot_be_read_stops_nobody():
    store, each = a_store(JOB), pod("p", owner=("Run", "r"))
    store.put_pod(each, NOW)
    assert waits_for(store, each) is not None
    assert store.lineages.settle(CUSTOM, served=False, now=NOW)
    assert (waits_for(store, each), group_name(store, each)) == (None, "pg-r-uid-r")


def workload(api, kind, name, spec, **meta):
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", **meta}
    return convert(Workload, {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec})


def test_pods_that_asked_for_an_object_are_read_again_when_it_comes_and_when_it_changes():
    kind = ("scheduling.x-k8s.io", "PodGroup")
    store = a_store(kind)
    each = pod("p", labels={"scheduling.x-k8s.io/pod-group": "gang"})
    store.put_pod(each, NOW)
    assert waits_for(store, each) == (ReasonCode.OWNER_PENDING, "PodGroup ns/gang")
    for minimum in (4, 6):
        assert store.lineages.put(
            workload("scheduling.x-k8s.io/v1alpha1", "PodGroup", "gang", {"minMember": minimum}), NOW
        )
        assert store.pods.facts[key_of(each)].place.terms.min_member == minimum
    store.drop_pod(key_of(each))
    assert not store.owners._askers
    assert not store.owners._asked


def test_the_launcher_of_an_mpijob_counts_for_its_workers_while_it_exists():
    api, name = "kubeflow.org/v1", "train"
    roles = {"Launcher": {"replicas": 1}, "Worker": {"replicas": 2}}
    fields = {"launcherCreationPolicy": "WaitForWorkersReady", "mpiReplicaSpecs": roles}
    store = a_store(("kubeflow.org", "MPIJob"))
    store.lineages.put(workload(api, "MPIJob", name, fields), NOW)

    def member(own, role, **more):
        labels = {"training.kubeflow.org/job-name": name, "training.kubeflow.org/job-role": role}
        each = pod(own, labels=labels, **more)
        meta = {"name": own, "namespace": "ns", "uid": f"uid-{own}", "labels": dict(each.metadata.labels)}
        above = [{"apiVersion": api, "kind": "MPIJob", "name": name, "uid": f"uid-{name}", "controller": True}]
        spec = {"schedulerName": "kai-scheduler", "nodeName": each.spec.node_name}
        return convert(type(each), {"metadata": {**meta, "ownerReferences": above}, "spec": spec})

    worker, launcher = member("a-worker", "worker"), member("z-launcher", "launcher")
    store.put_pod(worker, NOW)
    assert store.pods.facts[key_of(worker)].place.terms.min_member == 2
    store.put_pod(launcher, NOW)
    assert store.pods.facts[key_of(worker)].place.terms.min_member == 3
    store.drop_pod(key_of(launcher))
    assert store.pods.facts[key_of(worker)].place.terms.min_member == 2
