"""Gangs from what people submit: the owner's kind is found out, read, and followed."""

from __future__ import annotations

from typing import Any

from kai_py.api.meta import PartialObject
from kai_py.kube.resource import ResourceKind
from kai_py.operators.kinds import PODGROUPS

from .harness import Cluster, Json

_CRDS = ResourceKind("apiextensions.k8s.io", "v1", "customresourcedefinitions", PartialObject, namespaced=False)
_JOBS = ResourceKind("batch", "v1", "jobs", PartialObject)
_PYTORCH = ResourceKind("kubeflow.org", "v1", "pytorchjobs", PartialObject)
_JOBSETS = ResourceKind("jobset.x-k8s.io", "v1alpha2", "jobsets", PartialObject)
_LWS = ResourceKind("leaderworkerset.x-k8s.io", "v1", "leaderworkersets", PartialObject)
_SETS = ResourceKind("apps", "v1", "statefulsets", PartialObject)
_GANGS = ResourceKind("scheduling.x-k8s.io", "v1alpha1", "podgroups", PartialObject)
_KINDS = {
    _GANGS: "PodGroup",
    _PYTORCH: "PyTorchJob",
    _JOBSETS: "JobSet",
    _LWS: "LeaderWorkerSet",
    _JOBS: "Job",
    _SETS: "StatefulSet",
}


async def install(cluster: Cluster, resource: ResourceKind[Any]) -> None:
    """A CRD that takes everything."""
    kind = _KINDS[resource]
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": resource.version, "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    version["subresources"] = {"status": {}}
    names = {"kind": kind, "plural": resource.plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    name = f"{resource.plural}.{resource.group}"
    spec = {"group": resource.group, "scope": "Namespaced", "names": names, "versions": [version]}
    api = f"{_CRDS.group}/{_CRDS.version}"
    crd = {"apiVersion": api, "kind": "CustomResourceDefinition", "metadata": {"name": name}, "spec": spec}
    await cluster.client.patch(
        f"{_CRDS.path('', name)}?fieldManager=test&force=true", crd, content_type="application/apply-patch+yaml"
    )
    await cluster.until(lambda: cluster.client.served(resource.group, resource.version, resource.plural))


async def workload(
    cluster: Cluster, resource: ResourceKind[Any], name: str, spec: Json, owner: Json | None = None, **meta: Any
) -> Json:
    """Create an owner, and return the reference to it."""
    metadata = {"name": name, **meta, **({"ownerReferences": [owner]} if owner else {})}
    body = {"apiVersion": resource.api_version, "kind": _KINDS[resource], "metadata": metadata, "spec": spec}
    return reference(await cluster.create(resource.path(cluster.namespace), body))


def reference(made: Json) -> Json:
    """As its dependents have it."""
    identity = {"name": made["metadata"]["name"], "uid": made["metadata"]["uid"]}
    return {"apiVersion": made["apiVersion"], "kind": made["kind"], **identity, "controller": True}


async def member(cluster: Cluster, name: str, owner: Json | None, labels: dict[str, str] | None = None) -> Json:
    """A pod of a workload that says nothing of gangs itself."""
    metadata = {
        "name": name,
        "labels": {"kai.scheduler/queue": "team", **(labels or {})},
        "ownerReferences": [owner] if owner else [],
    }
    container = {"name": "main", "image": "example.com/main:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    spec = {"schedulerName": "kai-scheduler", "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return await cluster.create(f"/api/v1/namespaces/{cluster.namespace}/pods", pod)


_TEMPLATE: Json = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "main", "image": "example.com/main"}], "restartPolicy": "Never"},
}


async def test_a_pytorchjob_is_a_gang_and_scales(cluster: Cluster) -> None:
    await install(cluster, _PYTORCH)
    await cluster.nodes(2)
    await cluster.queue("team")
    specs = {"Master": {"replicas": 1}, "Worker": {"replicas": 2}}
    async with cluster.scheduler():
        owner = await workload(cluster, _PYTORCH, "train", {"pytorchReplicaSpecs": specs})
        role = "training.kubeflow.org/replica-type"
        await member(cluster, "train-master-0", owner, {role: "master"})
        await member(cluster, "train-worker-0", owner, {role: "worker"})
        await cluster.until(lambda: _mentions(cluster, "train-master-0", "1 of 2"))
        assert await cluster.places() == {}
        await member(cluster, "train-worker-1", owner, {role: "worker"})
        await cluster.until_bound("train-master-0", "train-worker-0", "train-worker-1")
        name = f"pg-train-{owner['uid']}"
        await cluster.until(lambda: _spec(cluster, name, "minMember", 3))
        patch = {"spec": {"pytorchReplicaSpecs": {"Worker": {"replicas": 4}}}}
        await cluster.client.patch(_PYTORCH.path(cluster.namespace, "train"), patch)
        await cluster.until(lambda: _spec(cluster, name, "minMember", 5))
        subgroups = (await cluster.podgroups())[name]["spec"]["subGroups"]
        assert {one["name"]: one["minMember"] for one in subgroups} == {"master": 1, "worker": 4}


async def test_what_a_user_edits_in_a_podgroup_stays_until_the_workload_says_something_new(cluster: Cluster) -> None:
    await install(cluster, _PYTORCH)
    await cluster.nodes(1)
    for queue in ("team", "other", "third"):
        await cluster.queue(queue)
    async with cluster.scheduler():
        owner = await workload(cluster, _PYTORCH, "train", {"pytorchReplicaSpecs": {"Worker": {"replicas": 2}}})
        for number in range(2):
            await member(cluster, f"w-{number}", owner, {"training.kubeflow.org/replica-type": "worker"})
        name = f"pg-train-{owner['uid']}"
        await cluster.until(lambda: _spec(cluster, name, "queue", "team"))
        path = f"/apis/scheduling.run.ai/v2alpha2/namespaces/{cluster.namespace}/podgroups/{name}"
        await cluster.client.patch(path, {"spec": {"queue": "other"}})
        change = {"spec": {"runPolicy": {"schedulingPolicy": {"minAvailable": 1}}}}
        await cluster.client.patch(_PYTORCH.path(cluster.namespace, "train"), change)
        await cluster.until(lambda: _spec(cluster, name, "minMember", 1))
        assert (await cluster.podgroups())[name]["spec"]["queue"] == "other"
        label = {"metadata": {"labels": {"kai.scheduler/queue": "third"}}}
        await cluster.client.patch(_PYTORCH.path(cluster.namespace, "train"), label)
        await cluster.until(lambda: _spec(cluster, name, "queue", "third"))


async def test_a_jobset_is_a_gang_through_its_jobs(cluster: Cluster) -> None:
    await install(cluster, _JOBSETS)
    await cluster.nodes(1)
    await cluster.queue("team")
    jobs = [
        {"name": "driver", "replicas": 1, "template": {"spec": {"parallelism": 1}}},
        {"name": "worker", "replicas": 1, "template": {"spec": {"parallelism": 2}}},
    ]
    async with cluster.scheduler():
        top = await workload(cluster, _JOBSETS, "train", {"replicatedJobs": jobs})
        names = []
        for replicated, count in (("driver", 1), ("worker", 2)):
            job = await workload(cluster, _JOBS, f"train-{replicated}-0", {"template": _TEMPLATE}, top)
            for number in range(count):
                if names:
                    await cluster.until(lambda: cluster.message("train-driver-0-0"))
                    assert await cluster.places() == {}
                names.append(f"train-{replicated}-0-{number}")
                label = "jobset.sigs.k8s.io/"
                await member(
                    cluster, names[-1], job, {f"{label}replicatedjob-name": replicated, f"{label}job-index": "0"}
                )
        await cluster.until_bound(*names)


async def test_a_leaderworkerset_is_found_above_the_leader(cluster: Cluster) -> None:
    await install(cluster, _LWS)
    await cluster.nodes(1)
    await cluster.queue("team")
    sets = {"serviceName": "s", "selector": {"matchLabels": {"a": "b"}}, "template": _TEMPLATE}
    sets = {**sets, "template": {**_TEMPLATE, "spec": {**_TEMPLATE["spec"], "restartPolicy": "Always"}}}
    index = "leaderworkerset.sigs.k8s.io/worker-index"
    async with cluster.scheduler():
        top = await workload(cluster, _LWS, "serve", {"leaderWorkerTemplate": {"size": 3}})
        leaders = await workload(cluster, _SETS, "serve", sets, top)
        leader = reference(await member(cluster, "serve-0", leaders, {index: "0"}))
        workers = await workload(cluster, _SETS, "serve-0", sets, leader)
        await member(cluster, "serve-0-1", workers, {index: "1"})
        await cluster.until(lambda: _mentions(cluster, "serve-0-1", "1 of 2"))
        assert await cluster.places() == {}
        await member(cluster, "serve-0-2", workers, {index: "2"})
        await cluster.until_bound("serve-0", "serve-0-1", "serve-0-2")


async def test_a_workload_that_cannot_be_understood_stops_its_own_pods_and_says_why(cluster: Cluster) -> None:
    await install(cluster, _PYTORCH)
    await cluster.nodes(1)
    await cluster.queue("team")
    async with cluster.scheduler():
        owner = await workload(cluster, _PYTORCH, "odd", {"pytorchReplicaSpecs": {"Worker": {"replicas": -1}}})
        await member(cluster, "odd-worker-0", owner)
        await cluster.pod("other")
        await cluster.until_bound("other")
        assert await cluster.until(lambda: _mentions(cluster, "odd-worker-0", "pytorchReplicaSpecs.Worker.replicas"))
        good = {"spec": {"pytorchReplicaSpecs": {"Worker": {"replicas": 1}}}}
        await cluster.client.patch(_PYTORCH.path(cluster.namespace, "odd"), good)
        await cluster.client.patch(
            f"/api/v1/namespaces/{cluster.namespace}/pods/odd-worker-0",
            {"metadata": {"labels": {"training.kubeflow.org/replica-type": "worker"}}},
        )
        await cluster.until_bound("odd-worker-0")


async def test_an_owner_of_a_kind_that_is_not_served_is_not_waited_for(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    identity = {"name": "x", "uid": "0b9b1e0c-0000-4000-8000-000000000000", "controller": True}
    async with cluster.scheduler():
        await member(cluster, "p", {"apiVersion": "example.com/v1", "kind": "Unknown", **identity})
        assert set(await cluster.until_bound("p")) == {"p"}


async def test_a_spark_executor_is_in_the_gang_of_its_driver(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    labels = {"spark-app-name": "etl", "spark-app-selector": "spark-1"}
    async with cluster.scheduler():
        driver = reference(await member(cluster, "driver", None, labels))
        await member(cluster, "exec-1", driver, labels)
        await cluster.until_bound("driver", "exec-1")
        assert await cluster.until(lambda: _spec(cluster, "spark-1", "minMember", 1))


async def test_a_podgroup_of_coscheduling_is_waited_for_and_kept(cluster: Cluster) -> None:
    await install(cluster, _GANGS)
    await cluster.nodes(1)
    await cluster.queue("team")
    label = {"scheduling.x-k8s.io/pod-group": "gang"}
    async with cluster.scheduler():
        await member(cluster, "a", None, label)
        await cluster.until(lambda: _mentions(cluster, "a", "PodGroup"))
        await workload(cluster, _GANGS, "gang", {"minMember": 2})
        await cluster.until(lambda: _mentions(cluster, "a", "1 of 2"))
        assert await cluster.places() == {}
        await member(cluster, "b", None, label)
        await cluster.until_bound("a", "b")


async def test_the_status_of_a_podgroup_of_coscheduling_is_kept(cluster: Cluster) -> None:
    await install(cluster, _GANGS)
    await cluster.nodes(1)
    await cluster.queue("team")
    label = {"scheduling.x-k8s.io/pod-group": "gang"}
    async with cluster.scheduler():
        await workload(cluster, _GANGS, "gang", {"minMember": 2})
        await member(cluster, "a", None, label)
        assert await cluster.until(lambda: _has_phase(cluster, "gang", "Pending"))
        await member(cluster, "b", None, label)
        assert await cluster.until(lambda: _has_phase(cluster, "gang", "Scheduled"))
        for name in ("a", "b"):
            await _be(cluster, name, "Running")
        assert await cluster.until(lambda: _has_phase(cluster, "gang", "Running"))
        for name in ("a", "b"):
            await _be(cluster, name, "Succeeded")
        assert await cluster.until(lambda: _has_phase(cluster, "gang", "Finished"))


async def test_what_is_held_for_a_gang_beyond_its_timeout_is_released(cluster: Cluster) -> None:
    await install(cluster, _GANGS)
    await cluster.nodes(1, gpus=2)
    await cluster.queue("team")
    await cluster.priority("high", 90)
    label = {"scheduling.x-k8s.io/pod-group": "gang"}
    async with cluster.scheduler():
        await cluster.pod("old", gpus=2, terminationGracePeriodSeconds=600)
        await cluster.until_bound("old")
        await workload(cluster, _GANGS, "gang", {"minMember": 2, "scheduleTimeoutSeconds": 1})
        for name in ("a", "b"):
            await member(cluster, name, None, {**label, "priorityClassName": "high"})
        # The old pod is told to go, but nobody ends it: its GPUs stay promised.
        assert await cluster.until(lambda: _is_nominated(cluster, "a"))
        assert await cluster.until(lambda: _has_event(cluster, "ScheduleTimeout"))
        await cluster.delete_pod("old")
        await cluster.until_bound("a", "b")


async def test_a_gang_waits_for_the_resources_that_it_names(cluster: Cluster) -> None:
    await install(cluster, _GANGS)
    await cluster.nodes(1, gpus=4)
    await cluster.queue("team")
    label = {"scheduling.x-k8s.io/pod-group": "gang"}
    async with cluster.scheduler():
        await workload(cluster, _GANGS, "gang", {"minMember": 2, "minResources": {"nvidia.com/gpu": 8}})
        for name in ("a", "b"):
            await member(cluster, name, None, label)
        await cluster.until(lambda: _mentions(cluster, "a", "does not start below 8 GPUs"))
        assert await cluster.places() == {}
        await cluster.nodes(1, gpus=4, prefix="more")
        await cluster.until_bound("a", "b")


async def test_a_podgroup_that_is_one_victim_goes_as_a_whole(cluster: Cluster) -> None:
    await cluster.nodes(1, gpus=3)
    await cluster.queue("team")
    await cluster.priority("high", 90)
    spec = {"minMember": 1, "queue": "team", "disruptionMode": "PodGroup"}
    body = {"apiVersion": PODGROUPS.api_version, "kind": "PodGroup", "metadata": {"name": "elastic"}, "spec": spec}
    await cluster.create(PODGROUPS.path(cluster.namespace), body)
    names = {f"elastic-{number}" for number in range(3)}
    async with cluster.scheduler():
        for name in sorted(names):
            await cluster.pod(name, gpus=1, group="elastic")
        await cluster.until_bound(*names)
        await cluster.pod("urgent", gpus=1, priorityClassName="high")

        async def all_leave() -> bool:
            pods = await cluster.pods()
            return names == {name for name in names if "deletionTimestamp" in pods.get(name, {}).get("metadata", {})}

        assert await cluster.until(all_leave)


async def _has_phase(cluster: Cluster, podgroup: str, phase: str) -> bool:
    found = await cluster.client.get_object(_GANGS.path(cluster.namespace, podgroup))
    return bool(found.get("status", {}).get("phase") == phase)


async def _be(cluster: Cluster, pod: str, phase: str) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}/status"
    await cluster.client.patch(path, {"status": {"phase": phase}})


async def _has_event(cluster: Cluster, reason: str) -> bool:
    found = await cluster.client.get_object(f"/apis/events.k8s.io/v1/namespaces/{cluster.namespace}/events")
    return any(one["reason"] == reason for one in found["items"])


async def _is_nominated(cluster: Cluster, pod: str) -> bool:
    return bool((await cluster.pods())[pod].get("status", {}).get("nominatedNodeName"))


async def _mentions(cluster: Cluster, pod: str, text: str) -> bool:
    return text in await cluster.message(pod)


async def _spec(cluster: Cluster, podgroup: str, field: str, value: object) -> bool:
    found = (await cluster.podgroups()).get(podgroup)
    return found is not None and found["spec"].get(field) == value


async def test_a_member_that_is_lost_after_others_have_succeeded_is_made_up_for(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    async with cluster.scheduler():
        await cluster.gang("work", pods=4)
        await cluster.until_bound(*(f"work-{number}" for number in range(4)))
        for name in ("work-0", "work-1"):
            await _be(cluster, name, "Succeeded")
        await cluster.delete_pod("work-2")
        await cluster.pod("work-again", group="work")
        await cluster.until_bound("work-again")
