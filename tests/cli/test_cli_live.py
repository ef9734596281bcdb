"""Commands that ask a live cluster, against the embedded one."""

import asyncio
import json

import pytest
import yaml

from kai_py.cli.minicluster import furnish
from kai_py.cli.output import WideOutput
from kai_py.cli.queue_watch import follow
from kai_py.kube.client import connect
from kai_py.minicluster import MiniCluster
from kai_py.minicluster.pools import nodes

HOST = "kubernetes.io/hostname"
QUEUES, PODGROUPS = "queues.scheduling.run.ai", "podgroups.scheduling.run.ai"


@pytest.fixture
async def cluster(tmp_path):
    """An embedded cluster of two nodes with eight GPUs each, and its kubeconfig."""
    cluster = MiniCluster()
    furnish(cluster, nodes("h100", 2), crds=True)
    async with cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        yield cluster


def pod(name, gpus=1, **annotations):
    container = {"name": "main", "image": "none", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    meta = {"name": name, "labels": {"kai.scheduler/queue": "default-queue"}, "annotations": annotations}
    return {"metadata": meta, "spec": {"schedulerName": "kai-scheduler", "containers": [container]}}


def waiting_podgroup(cluster, name):
    manifest = {"metadata": {"name": name}, "spec": {"queue": "default-queue", "minMember": 2}}
    created = cluster.storage.create(PODGROUPS, manifest, "default")
    condition = {
        "type": "UnschedulableOnNodePool",
        "status": "True",
        "reason": "OverLimit",
        "message": "Queue default-queue is at its limit.",
        "reasons": [{"reason": "OverLimit", "message": "Queue default-queue is at its limit."}],
        "transitionID": "1",
    }
    cluster.storage.update(PODGROUPS, created | {"status": {"schedulingConditions": [condition]}}, subresource="status")


async def test_a_plan_begins_with_the_live_cluster_and_edits_are_merged_in(ask, cluster):
    cluster.storage.create("pods", pod("big", gpus=8), "default")
    edit = "apiVersion: v1\nkind: Node\nmetadata: {name: %s}\nspec: {unschedulable: true}\n"
    first, second = (node["metadata"]["name"] for node in cluster.storage.list("nodes"))
    answer = json.loads((await ask("plan", "--from-cluster", "-o", "json")).stdout)
    assert answer["pods"]["default/big"] == {"node": first, "state": "Bound"}
    answer = json.loads((await ask("plan", "--from-cluster", "-f", "-", "-o", "json", stdin=edit % first)).stdout)
    assert answer["pods"]["default/big"] == {"node": second, "state": "Bound"}
    assert cluster.storage.get("pods", "big", "default")["spec"].get("nodeName") is None


async def test_podgroups_of_the_live_cluster_are_those_of_pods_of_ours_with_their_owners(ask, cluster):
    template = pod("")["spec"]
    stateful = {
        "metadata": {"name": "db"},
        "spec": {"replicas": 1, "serviceName": "db", "template": {"spec": template}},
    }
    stateful["spec"] |= {"selector": {"matchLabels": {"app": "db"}}}
    stateful["spec"]["template"]["metadata"] = {"labels": {"app": "db", "kai.scheduler/queue": "research"}}
    uid = cluster.storage.create("statefulsets.apps", stateful, "default")["metadata"]["uid"]

    def owned(name, version, kind, owner, uid, **spec):
        made = pod(name)
        reference = {"apiVersion": version, "kind": kind, "name": owner, "uid": uid, "controller": True}
        made["metadata"]["ownerReferences"] = [reference]
        made["spec"] |= spec
        cluster.storage.create("pods", made, "default")

    owned("db-0", "apps/v1", "StatefulSet", "db", uid)
    owned("unreadable", "example.com/v1", "Strange", "strange", "none")
    owned("others", "apps/v1", "StatefulSet", "db", uid, schedulerName="default-scheduler")
    result = await ask("group", "--from-cluster", "-o", "json")
    assert result.exit_code == 0, result.stderr
    found = {one["pod"]: one["podGroup"]["metadata"]["name"] for one in json.loads(result.stdout)["pods"]}
    assert found == {"default/db-0": f"pg-db-{uid}", "default/unreadable": "pg-strange-none"}


async def test_a_plan_takes_live_disruption_budgets_and_goes_on_where_they_are_forbidden(ask, cluster):
    (node, *_) = (one["metadata"]["name"] for one in cluster.storage.list("nodes"))
    for name, app in (("older", "batch"), ("younger", "web")):
        victim = pod(name, gpus=4)
        victim["metadata"]["labels"]["app"] = app
        victim["spec"]["nodeName"] = node
        created = cluster.storage.create("pods", victim, "default")
        cluster.storage.update("pods", created | {"status": {"phase": "Running"}}, subresource="status")
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}
    cluster.storage.create("poddisruptionbudgets.policy", budget, "default")
    urgent = pod("urgent", gpus=4)
    urgent["spec"] |= {"priorityClassName": "build-preemptible", "nodeSelector": {HOST: node}}
    cluster.storage.create("pods", urgent, "default")

    async def victims():
        answer = await ask("plan", "--from-cluster", "-o", "json")
        return [one["pod"] for one in json.loads(answer.stdout)["cycles"][0]["evictions"]], answer.stderr

    assert await victims() == (["default/older"], "")
    cluster.faults.answer(403, path="/poddisruptionbudgets", times=10)
    evicted, complaint = await victims()
    assert evicted == ["default/younger"]
    assert "pod disruption budgets are left out" in complaint


async def test_the_live_settings_are_in_force(ask, cluster):
    data = {"settings.yaml": "actions: {order: []}"}
    config = {"metadata": {"name": "kai-py-settings"}, "data": data}
    cluster.storage.create("configmaps", config, "kai-scheduler")
    cluster.storage.create("pods", pod("a"), "default")
    answer = json.loads((await ask("plan", "--from-cluster", "-o", "json")).stdout)
    assert answer["pods"]["default/a"]["state"] == "Pending"


async def test_queues_are_listed_with_what_waits_in_them(ask, cluster):
    waiting_podgroup(cluster, "g")
    lines = (await ask("queues")).stdout.splitlines()
    assert lines[0].split()[:3] == ["QUEUE", "PARENT", "PRIORITY"]
    assert lines[2].split()[:3] == ["default-queue", "default-parent-queue", "100"]
    assert lines[2].endswith("1 (OverLimit)")
    wide = (await ask("queues", "-o", "wide", "--no-headers")).stdout.splitlines()
    assert [line.split()[4] for line in wide] == ["gpu", "cpu", "memory"] * 2
    (_, item) = json.loads((await ask("queues", "-o", "json")).stdout)["items"]
    assert item["resources"]["gpu"]["limit"] == -1
    assert item["waiting"] == {"OverLimit": 1}


def waiting_pod(cluster, name):
    created = cluster.storage.create("pods", pod(name), "default")
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "No room. [OverLimit]"}
    cluster.storage.update(
        "pods", created | {"status": {"phase": "Pending", "conditions": [said]}}, subresource="status"
    )


async def test_single_pods_that_wait_are_counted(ask, cluster):
    for number in range(3):
        waiting_pod(cluster, f"w{number}")
    assert (await ask("queues")).stdout.splitlines()[2].endswith("3 (OverLimit)")
    said = (await ask("why", "queue/default-queue")).stdout
    assert said.startswith("queue default-queue: 3 single pods wait in it (OverLimit).")


async def test_watching_prints_a_queue_again_when_its_row_changes(cluster, tmp_path, capsys):
    async with await connect(str(tmp_path / "kubeconfig")) as client:
        task = asyncio.create_task(follow(client, WideOutput.TABLE, headers=True))
        try:
            assert await printed(capsys, 3) == ["QUEUE", "default-parent-queue", "default-queue"]
            waiting_podgroup(cluster, "g")
            assert await printed(capsys, 1) == ["default-queue"]
            waiting_pod(cluster, "w")
            assert await printed(capsys, 1) == ["default-queue"]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def printed(capsys, lines):
    """The first words of the next lines."""
    text = ""
    async with asyncio.timeout(10):
        while len(text.splitlines()) < lines:
            await asyncio.sleep(0.01)
            text += capsys.readouterr().out
    return [line.split()[0] for line in text.splitlines()]


async def test_why_finds_a_pod_and_what_its_podgroup_says(ask, cluster):
    waiting_podgroup(cluster, "g")
    cluster.storage.create("pods", pod("w0", **{"pod-group-name": "g"}), "default")
    answer = await ask("why", "w0")
    assert answer.exit_code == 0
    assert answer.stdout.startswith("pod default/w0: Queue default-queue is at its limit.")
    assert answer.stdout.splitlines()[-1].startswith("Next: ")
    document = json.loads((await ask("why", "pg/g", "-o", "json")).stdout)
    assert (document["kind"], document["code"]) == ("Why", "OverLimit")
    assert {"name": "pods", "text": "0 of 1 have a node"} in document["evidence"]
    assert [one["text"].split(":")[0] for one in document["evidence"] if one["name"] == "when"] == ["not known"]


async def test_why_says_when_what_is_reserved_will_be_free(ask, cluster):
    nodes = [one["metadata"]["name"] for one in cluster.storage.list("nodes")]
    for name, node in zip(("leaves", "elsewhere"), nodes, strict=False):
        busy = pod(name)
        busy["spec"]["nodeName"] = node
        busy["metadata"]["finalizers"] = ["example.com/slow"]
        cluster.storage.create("pods", busy, "default")
        cluster.storage.delete("pods", name, "default")
    created = cluster.storage.create("pods", pod("next"), "default")
    said = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "Soon. [WaitingForRelease]",
    }
    status = {"phase": "Pending", "nominatedNodeName": nodes[0], "conditions": [said]}
    cluster.storage.update("pods", created | {"status": status}, subresource="status")
    assert f"when 1 pod has left {nodes[0]}: by 20" in (await ask("why", "pod/next")).stdout


async def test_why_tries_a_bare_name_as_pod_podgroup_and_queue(ask, cluster):
    assert (await ask("why", "default-queue")).stdout.startswith("queue default-queue: ")
    waiting_podgroup(cluster, "default-queue")
    assert (await ask("why", "default-queue")).stdout.startswith("podgroup default/default-queue: ")
    assert (await ask("why", "queue/default-queue")).stdout.startswith("queue default-queue: ")


async def test_why_is_asked_as_kubectl_is(ask, cluster, tmp_path):
    cluster.storage.create("namespaces", {"metadata": {"name": "team-a"}})
    cluster.storage.create("pods", pod("w0"), "team-a")
    assert (await ask("why", "w0")).exit_code == 1  # it is not in the context's namespace
    assert (await ask("why", "pod", "w0", "-n", "team-a")).stdout.startswith("pod team-a/w0: ")
    document = cluster.kubeconfig()
    document["contexts"][0]["context"]["namespace"] = "team-a"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    assert (await ask("why", "w0")).stdout.startswith("pod team-a/w0: ")
    assert (await ask("why", "po", "w0", "-n", "default")).exit_code == 1
    assert (await ask("why", "pod/w0", "w0")).exit_code == 2


@pytest.mark.parametrize(
    ("target", "status"),
    [("nope", 1), ("pod/nope", 1), ("queue/nope", 1), ("node/n1", 2), ("pod/", 2), ("a/b/c", 2)],
)
async def test_what_is_not_there_has_status_1_and_what_makes_no_sense_has_2(ask, target, status):
    answer = await ask("why", target)
    assert (answer.exit_code, answer.stdout) == (status, "")
    assert answer.stderr


def test_a_server_that_is_gone_is_told_as_such(kai, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    cluster = MiniCluster().kubeconfig() | {
        "clusters": [{"name": "kai-py-mini", "cluster": {"server": "http://127.0.0.1:9"}}]
    }
    kubeconfig.write_text(json.dumps(cluster))
    answer = kai("queues", "--watch", "--kubeconfig", kubeconfig)
    assert answer.exit_code == 1
    assert answer.stderr.splitlines()[0] == "error: the API server does not answer"
