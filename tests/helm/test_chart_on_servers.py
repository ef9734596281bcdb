"""The chart on a real API server with authorization: its pods may do all they need, and nothing they do not."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kai_py.api.meta import PartialObject
from kai_py.kube.client import connect
from kai_py.kube.resource import ResourceKind
from kai_py.minicluster import MiniCluster
from kai_py.operators.kinds import DEVICE_CLASSES, NODES, VOLUMES, ZONES
from tests.e2e import claims, test_numa, test_provisioning, test_sharing, test_topology, test_volumes, test_workloads
from tests.e2e.harness import Cluster, fresh_namespace

from .charts import NAMESPACE, VALUE_SETS, Json, is_hook, of_kind, one_of, render
from .conftest import Audited
from .installing import ADMISSION, MONITORING, account_kubeconfig, apply, install, namespace, replica, with_ports
from .test_chart_rights import granted, watched

JOBS = ResourceKind("batch", "v1", "jobs", PartialObject)
SETS = ResourceKind("apps", "v1", "replicasets", PartialObject)
#: Rights that the workload below does not use, and why they are granted all the same.
NOT_USED = {
    # The API server asks for these by itself while it checks another request.
    ("", "pods/finalizers", "update"),
    ("resource.k8s.io", "resourceclaims/binding", "update"),
    ("resource.k8s.io", "resourceclaims/binding", "patch"),
    # Only where a claim is of another version than we think.
    ("resource.k8s.io", "resourceclaims", "get"),
    # Not served by default; it is looked for every now and then.
    ("resource.k8s.io", "devicetaintrules", "watch"),
    # PodGroups of others, which this server does not have.
    ("scheduling.k8s.io", "podgroups", "get"),
    ("scheduling.k8s.io", "podgroups/status", "patch"),
    ("scheduling.x-k8s.io", "podgroups", "get"),
    ("scheduling.x-k8s.io", "podgroups/status", "patch"),
    # A claim on extended resources that was made in vain.
    ("resource.k8s.io", "resourceclaims", "delete"),
}


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS)
async def test_a_real_server_accepts_every_field(audited: Audited, values: Json) -> None:
    async with await connect(str(audited.kubeconfig)) as client:
        await install(client, [])
        await namespace(client, "defaults")
        objects = [one for one in render(values) if one["kind"] not in MONITORING]
        assert len(objects) > 3
        for one in of_kind(objects, "Namespace"):  # what is in it is refused where nothing is really made
            await namespace(client, one["metadata"]["name"])
        await apply(client, objects, query="&dryRun=All")


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS)
async def test_the_embedded_server_accepts_what_it_knows(values: Json, tmp_path: Path) -> None:
    unknown = {*MONITORING, "NetworkPolicy", *ADMISSION}
    async with MiniCluster() as mini:
        mini.write_kubeconfig(tmp_path / "kubeconfig")
        async with await connect(str(tmp_path / "kubeconfig")) as client:
            await install(client, [one for one in render(values) if one["kind"] not in unknown])
            objects = {one["kind"] for one in render(values)}
            found = await client.get_object(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/kai-py")
    assert found["spec"]["replicas"] == render_replicas(values)
    assert "Deployment" in objects


def render_replicas(values: Json) -> int:
    return int(one_of(render(values), "Deployment")["spec"]["replicas"])


@pytest.fixture
async def cluster(audited: Audited) -> AsyncIterator[Cluster]:
    """The control plane with a namespace for the test."""
    async with await connect(str(audited.kubeconfig)) as client:
        made = Cluster(audited.kubeconfig, client, fresh_namespace(), real=True)
        await namespace(client, made.namespace)
        yield made
        await made.clean()


@pytest.mark.slow
async def test_the_scheduler_may_do_what_it_does_and_no_more(
    cluster: Cluster, audited: Audited, tmp_path: Path
) -> None:
    """Two replicas of the Deployment, with exactly the rights of its account, and work of every kind."""
    settings = {
        "gpuSharing": "trusted",
        "fairness": {"usage": {"enabled": True}},
        "queues": {"authorization": "subjectAccessReview"},
        "autoscaling": {"provisioningClass": "check.example.com", "provisioningDelay": "0s"},
    }
    defaults = {"podGroups": {"defaultPrioritiesConfigMap": {"namespace": cluster.namespace, "name": "priorities"}}}
    shadow = {"schedulerNames": ["kai-scheduler"], "placement": {"gpu": "spread"}}
    documents = {"settings": {**settings, **defaults}, "shadow": shadow}
    # The queues are deleted while their status says that they are in use: nobody is left who would correct it.
    others = {"policies": {"enabled": False}, "defaultQueues": {"create": False}}
    values = with_ports({**documents, **others})
    objects = render(values)
    second = render({**values, **with_ports({})})
    await install(cluster.client, objects)
    account = await account_kubeconfig(cluster.client, audited.kubeconfig, "kai-py")
    await prepare(cluster)
    async with contextlib.AsyncExitStack() as running:
        first = await running.enter_async_context(replica(objects, account, tmp_path / "first.log"))
        await gangs(cluster)  # so it is the first that leads
        await running.enter_async_context(replica(second, account, tmp_path / "second.log"))
        await devices(cluster)
        await volumes(cluster)
        await near(cluster)
        await test_sharing._fraction(cluster, "half", "0.5")
        await cluster.until_bound("half")
        await owned(cluster)
        await making_room(cluster)
        await waiting(cluster)
        await asking_for_nodes(cluster)
        await changing_settings(cluster)
        first.terminate()  # the other takes over, and finishes what comes
        await first.wait()
        await cluster.pod("after")
        await cluster.until_bound("after", patience=30)
        await cluster.until(lambda: written(audited, "create", "kai-py-usage"), patience=30)
        await cluster.until(lambda: read_twice(audited))  # then it is written when the other ends, too
        # It is computed by a process that takes only what time others leave.
        await cluster.until(lambda: written(audited, "update", "kai-py-shadow"), patience=180)
    used = {request[:3] for request in audited.requests("kai-py")}
    refused = [request for request in audited.requests("kai-py") if request[4] == 403]
    assert refused == []
    unused = set()
    for kind, name in (("ClusterRole", "kai-py"), ("Role", "kai-py"), ("Role", "kai-py-default-priorities")):
        for (group, resource), verbs in granted(one_of(objects, kind, name)).items():
            unused |= {(group, resource, verb) for verb in verbs if (verb, group, resource) not in used}
    assert {one for one in unused if not is_owner(one)} == NOT_USED


def is_owner(right: tuple[str, str, str]) -> bool:
    """Whether a right is about a kind of owner, of which the test has only some."""
    group, resource, verb = right
    others = {("", "configmaps"), ("apiextensions.k8s.io", "customresourcedefinitions")}
    ours = {(kind.group, kind.plural) for kind in watched()} | others
    return verb in ("list", "watch") and (group, resource) not in ours


async def prepare(cluster: Cluster) -> None:
    """Nodes, queues, a kind that reports NUMA nodes, and the ConfigMap with default priorities."""
    await cluster.create(test_numa.CRDS.path(), test_numa.CRD)
    await cluster.until(lambda: cluster.client.served(ZONES.group, ZONES.version, ZONES.plural))
    await test_provisioning.install(cluster)
    await let_into_queues(cluster)
    empty = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kai-py-shadow"}}
    await cluster.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", empty)
    configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "priorities"}, "data": {"types": "[]"}}
    await cluster.create(f"/api/v1/namespaces/{cluster.namespace}/configmaps", configmap)
    for name in await cluster.nodes(2, **{test_topology.RACK: "a"}):
        await cluster.client.patch(NODES.path("", name), {"metadata": {"labels": {"kubernetes.io/hostname": name}}})
    await cluster.nodes(1, prefix="tight")
    await cluster.client.patch(NODES.path("", "tight-0"), {"spec": {"unschedulable": True}})
    await cluster.queue("team")


async def let_into_queues(cluster: Cluster) -> None:
    """The service accounts of the test's namespace may use all queues."""
    root, name = "/apis/rbac.authorization.k8s.io/v1", f"use-queues-{cluster.namespace}"
    api = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}}
    rule = {"apiGroups": ["scheduling.run.ai"], "resources": ["queues"], "verbs": ["use"]}
    await cluster.create(f"{root}/clusterroles", {**api, "kind": "ClusterRole", "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    group = f"system:serviceaccounts:{cluster.namespace}"
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}
    binding = {**api, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]}
    await cluster.create(f"{root}/clusterrolebindings", binding)


async def gangs(cluster: Cluster) -> None:
    """A gang with a PodGroup, and one of a Job, whose PodGroup is written and follows the Job."""
    await cluster.gang("train", pods=3)
    await cluster.until_bound("train-0", "train-1", "train-2")
    template = {"spec": {"containers": [{"name": "main", "image": "example.com/main:1"}], "restartPolicy": "Never"}}
    metadata = {"name": "job", "annotations": {"kai.scheduler/batch-min-member": "2"}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}}
    path = JOBS.path(cluster.namespace)
    owner = test_workloads.reference(await cluster.create(path, job))
    for number in range(2):
        await cluster.pod(f"job-{number}", owner=owner)
    await cluster.until_bound("job-0", "job-1")
    await cluster.until(cluster.podgroups)
    await cluster.client.patch(f"{path}/job", {"metadata": {"annotations": {"kai.scheduler/batch-min-member": "1"}}})

    async def followed() -> bool:
        return any(one["spec"].get("minMember") == 1 for one in (await cluster.podgroups()).values())

    await cluster.until(followed)


async def devices(cluster: Cluster) -> None:
    """A claim that is given and given back, and one that is made for an extended resource."""
    await claims.devices(cluster, "node-0", 3)
    await claims.owner(cluster, "claims")
    await cluster.until_bound("claims")
    await claims.claim(cluster, "shared")
    for name in ("first-user", "second-user"):
        await claims.user(cluster, name, "shared")
        await cluster.until_bound(name)
    path = DEVICE_CLASSES.path("", "devices")
    await cluster.client.patch(path, {"spec": {"extendedResourceName": "example.com/device"}})
    resources = {"limits": {"example.com/device": "1"}}
    container = {"name": "main", "image": "example.com/main:1", "resources": resources}
    await cluster.pod("extended", gpus=0, containers=[container])
    await cluster.until_bound("extended")
    made = [one for one in await claims.claims(cluster) if one.startswith("extended-extended-resources-")]
    assert len(made) == 1


async def waiting(cluster: Cluster) -> None:
    """A gang that cannot start is told why, at its PodGroup."""
    await cluster.gang("vain", pods=2, gpus=64)
    await cluster.until(lambda: cluster.message("vain-0"))

    async def told() -> bool:
        return bool((await cluster.podgroups())["vain"].get("status", {}).get("schedulingConditions"))

    await cluster.until(told)


async def asking_for_nodes(cluster: Cluster) -> None:
    """The gang that waits has nodes asked for; when it goes, they are asked for no more."""
    await test_provisioning.one_request(cluster)
    for name in ("vain-0", "vain-1"):
        await cluster.delete_pod(name)
    await cluster.until(lambda: test_provisioning.none_left(cluster), patience=40)


async def changing_settings(cluster: Cluster) -> None:
    """Settings are refused, accepted, and refused again: an Event each time, and the last one continues the first."""
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/kai-py-settings"
    events = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"
    good = (await cluster.client.get_object(path))["data"]["settings.yaml"]

    async def told(reason: str) -> bool:
        found = (await cluster.client.get_object(events))["items"]
        return any(one["reason"] == reason and one["regarding"]["name"] == "kai-py-settings" for one in found)

    async def continued() -> bool:
        return any("series" in one for one in (await cluster.client.get_object(events))["items"])

    async def write(text: str) -> None:
        await cluster.client.patch(path, {"data": {"settings.yaml": text}})

    await write("placment: {}")
    await cluster.until(lambda: told("InvalidSettings"))
    await write(good)
    await cluster.until(lambda: told("SettingsAccepted"))
    await write("placment: {}")
    await cluster.until(continued)
    await write(good)


async def written(audited: Audited, verb: str, name: str) -> bool:
    """Whether a ConfigMap was written. What is created is not named by the request."""
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps" + (f"/{name}" if verb == "update" else "")
    return any(one[0] == verb and one[3].partition("?")[0] == path for one in audited.requests("kai-py"))


async def read_twice(audited: Audited) -> bool:
    """Whether both replicas have read the usage of queues: the first found none, the second what the first wrote."""
    reads = [one for one in audited.requests("kai-py") if one[0] == "get" and one[3].endswith("/kai-py-usage")]
    return {request[4] for request in reads} >= {200, 404}


async def volumes(cluster: Cluster) -> None:
    """A volume that exists is reserved, and one is asked for."""
    made, local = f"made-{cluster.namespace}", f"local-{cluster.namespace}"
    await test_volumes.storage_class(cluster, local, provisioner="kubernetes.io/no-provisioner")
    await test_volumes.storage_class(cluster, made, provisioner="csi.example.com")
    name = f"pv-{cluster.namespace}"
    await test_volumes.volume(cluster, name, "node-1", local)
    for claim, cls in (("exists", local), ("made", made)):
        await test_volumes.volume_claim(cluster, claim, cls)
        await test_volumes.user(cluster, f"with-{claim}", claim)

    async def asked() -> bool:
        claim = await test_volumes.seen(cluster, f"/api/v1/namespaces/{cluster.namespace}/persistentvolumeclaims/made")
        selected = "volume.kubernetes.io/selected-node" in claim["metadata"].get("annotations", {})
        return selected and "claimRef" in (await test_volumes.seen(cluster, VOLUMES.path("", name)))["spec"]

    await cluster.until(asked)
    await test_volumes.bind_claim(cluster, "exists", name)
    await test_volumes.bind_claim(cluster, "made", "pvc-0")
    await cluster.until_bound("with-exists", "with-made")


async def near(cluster: Cluster) -> None:
    """A gang in one rack."""
    await cluster.create("/apis/kai.scheduler/v1alpha1/topologies", test_topology.TOPOLOGY)
    await test_topology._gang(cluster, "near", pods=2)
    await cluster.until_bound("near-0", "near-1")


async def owned(cluster: Cluster) -> None:
    """A pod that belongs to a pod of another scheduler."""
    leader = await cluster.pod("leader", schedulerName="other")
    await cluster.pod("follower", owner=test_workloads.reference(leader))
    await cluster.until_bound("follower")


async def making_room(cluster: Cluster) -> None:
    """One pod is ended for a more important one, and one is moved to make room."""
    await cluster.priority("urgent", 90)
    for name in ("node-0", "node-1"):
        await cluster.client.patch(NODES.path("", name), {"spec": {"unschedulable": True}})
    await cluster.client.patch(NODES.path("", "tight-0"), {"spec": {"unschedulable": None}})
    await cluster.pod("slow", gpus=8)
    await cluster.until_bound("slow")
    await cluster.pod("quick", gpus=8, priorityClassName="urgent")
    await leaving(cluster, "slow")
    await cluster.delete_pod("slow")
    await cluster.until_bound("quick")
    await cluster.delete_pod("quick")
    await moving(cluster)


async def moving(cluster: Cluster) -> None:
    """Two nodes are half full: one is emptied for a pod that needs a whole one. Moves ask for an eviction."""
    await cluster.nodes(1, prefix="also-tight")
    for name in ("left", "right"):
        path = SETS.path(cluster.namespace)
        labels = {"app": name}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", "image": "example.com/a:1"}]},
        }
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        body = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}, "spec": spec}
        owner = test_workloads.reference(await cluster.create(path, body))
        await cluster.pod(name, gpus=4, owner=owner)
        await cluster.until_bound(name)
        await cluster.pod(f"beside-{name}", gpus=4)
        await cluster.until_bound(f"beside-{name}")
    for name in ("left", "right"):
        await cluster.delete_pod(f"beside-{name}")
    await cluster.pod("whole", gpus=8)
    await cluster.delete_pod(await leaving(cluster, "left", "right"))
    await cluster.until_bound("whole")


async def leaving(cluster: Cluster, *names: str) -> str:
    """The pod that is being deleted."""

    async def found() -> str | None:
        for name, pod in (await cluster.pods()).items():
            if "deletionTimestamp" in pod["metadata"] and (not names or name in names):
                return name
        return None

    return str(await cluster.until(found))


async def test_whoever_is_on_call_may_read_what_a_plan_reads_and_change_nothing(
    cluster: Cluster, audited: Audited, tmp_path: Path
) -> None:
    objects = render({"policies": {"enabled": False}})
    await install(cluster.client, objects)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "on-call", "namespace": NAMESPACE}}
    subject = {"kind": "ServiceAccount", "name": "on-call", "namespace": NAMESPACE}
    api = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "on-call"}}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "kai-py-planner"}
    await apply(
        cluster.client, [account, {**api, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]}]
    )
    kubeconfig = await account_kubeconfig(cluster.client, audited.kubeconfig, "on-call")
    await prepare(cluster)
    await cluster.pod("waits", gpus=64)
    (tmp_path / "queue.yaml").write_text(
        "{apiVersion: scheduling.run.ai/v2, kind: Queue, metadata: {name: team}, spec: {priority: 7}}"
    )
    change = ["-f", str(tmp_path / "queue.yaml")]
    for command in (
        ["queues"], ["why", "pod", "waits", "-n", cluster.namespace], ["top"], ["top", "--nodes"], ["devices"],
        ["plan", "--from-cluster"], ["preview", *change], ["drift", *change],
        ["snapshot", "--redact", "-o", str(tmp_path / "snapshot.json.gz")],
    ):  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kai_py", *command, "--kubeconfig", str(kubeconfig), stdout=-1, stderr=-1
        )
        _, err = await process.communicate()
        assert process.returncode == (3 if command[0] == "drift" else 0), (command, err.decode())
        assert b"left out" not in err, (command, err.decode())
    requests = list(audited.requests("on-call"))
    assert {request[0] for request in requests} == {"get", "list"}
    assert [request for request in requests if request[4] == 403] == []


async def test_the_job_before_an_upgrade_brings_definitions_up_to_date(
    cluster: Cluster, audited: Audited, tmp_path: Path
) -> None:
    objects = render({"policies": {"enabled": False}})
    await install(cluster.client, objects, hooks=True)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/queues.scheduling.run.ai"
    await cluster.client.patch(path, {"spec": {"names": {"shortNames": ["old"]}}})
    account = await account_kubeconfig(cluster.client, audited.kubeconfig, "kai-py-crds")
    (container,) = one_of(objects, "Job", "kai-py-crds")["spec"]["template"]["spec"]["containers"]
    command = [sys.executable, "-m", "kai_py", *container["args"], "--kubeconfig", str(account)]
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert out.decode().count("applied") == 3
    assert (await cluster.client.get_object(path))["spec"]["names"].get("shortNames") != ["old"]
    requests = list(audited.requests("kai-py-crds"))
    assert {request[:3] for request in requests} == {("patch", "apiextensions.k8s.io", "customresourcedefinitions")}
    assert [request for request in requests if request[4] >= 400] == []
    hooks = [one for one in objects if is_hook(one) and one["kind"] in ("Job", "Pod")]
    assert len(hooks) == 2
