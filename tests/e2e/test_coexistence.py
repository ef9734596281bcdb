"""Another scheduler places pods on the same nodes at the same time: nobody's work is lost, and nobody goes in circles.

The API server binds both when two schedulers give the last room to different pods; the kubelet refuses one, and its
controller makes another. Kubelets and controllers are those of the embedded cluster, on both servers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kai_py.kube.client import connect
from kai_py.minicluster import MiniCluster
from kai_py.minicluster.workers import Jobs, Kubelets, ReplicaSets
from kai_py.operators.kinds import PODS

from .afar import alive
from .conftest import CRDS, _cluster
from .harness import Cluster, Json
from .kube_scheduler import kube_scheduler
from .proxy import Answer, Call, Proxy

NODES, PER_NODE = 4, 8
#: How many pods of each are to run: together they fill all nodes.
OURS, GANG, THEIRS = 12, 4, 16


@dataclass
class Shared:
    """A cluster whose pods run, and who refuses them."""

    cluster: Cluster
    kubelets: Kubelets


@pytest.fixture(params=["embedded", "real"])
async def shared(request: pytest.FixtureRequest, tmp_path: Path, real_kubeconfig: Path | None) -> AsyncIterator[Shared]:
    kubelets = Kubelets()
    workers = [kubelets.run, ReplicaSets().run, Jobs(backoff=0.1).run]
    if request.param == "real":
        if real_kubeconfig is None:
            pytest.skip("KUBEBUILDER_ASSETS does not name a folder with etcd and kube-apiserver")
        async for made in _cluster(real_kubeconfig, real=True, faults=None):
            with alive(real_kubeconfig, workers):
                yield Shared(made, kubelets)
        return
    async with MiniCluster(crds=CRDS, workers=workers) as mini:
        mini.write_kubeconfig(tmp_path / "kubeconfig")
        async with await connect(str(tmp_path / "kubeconfig")):
            async for made in _cluster(tmp_path / "kubeconfig", real=False, faults=mini.faults):
                yield Shared(made, kubelets)


def template(scheduler: str, **labels: str) -> Json:
    """Pods of one GPU."""
    amounts = {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}
    container = {"name": "main", "image": "example.com/main:1", "resources": {"requests": amounts, "limits": amounts}}
    spec = {"schedulerName": scheduler, "terminationGracePeriodSeconds": 0, "containers": [container]}
    return {"metadata": {"labels": labels}, "spec": spec}


async def replicas(cluster: Cluster, name: str, count: int, scheduler: str, **labels: str) -> None:
    """So many pods that are made again when they are refused."""
    spec = {
        "replicas": count,
        "selector": {"matchLabels": {"app": name}},
        "template": template(scheduler, app=name, **labels),
    }
    body = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}, "spec": spec}
    await cluster.create(f"/apis/apps/v1/namespaces/{cluster.namespace}/replicasets", body)


async def gang(cluster: Cluster, name: str, count: int) -> None:
    """A Job whose pods start together."""
    pods = template("kai-scheduler", app=name)
    pods["spec"]["restartPolicy"] = "Never"
    metadata = {
        "name": name,
        "labels": {"kai.scheduler/queue": "team"},
        "annotations": {"kai.scheduler/batch-min-member": str(count)},
    }
    spec = {"parallelism": count, "completions": count, "backoffLimit": 100, "template": pods}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    await cluster.create(f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs", body)


class Rival:
    """A scheduler that does not look: upon each of our first bindings it puts a pod of its own onto the same node."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._left = asyncio.Lock()

    async def take(self, node: str = "") -> bool:
        """Bind a pod that waits to the node, or to the emptiest one; tells whether there was one."""
        async with self._left:
            pods = (await self._cluster.pods()).values()
            waiting = [one for one in pods if one["metadata"]["labels"]["app"] == "theirs" and not placed(one)]
            if not waiting:
                return False
            held = Counter({f"node-{number}": 0 for number in range(NODES)})
            held.update(one["spec"]["nodeName"] for one in pods if placed(one) and lives(one))
            meta = waiting[0]["metadata"]
            binding = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": meta["name"], "uid": meta["uid"]},
                "target": {"kind": "Node", "name": node or min(held, key=lambda name: (held[name], name))},
            }
            await self._cluster.client.post(PODS.path(self._cluster.namespace, meta["name"], "binding"), binding)
            return True

    async def go_on(self, tricks: Callable[[], int]) -> None:
        """When there are no more tricks, place what waits, one pod after the other, until cancelled."""
        while True:
            if tricks() or not await self.take():
                await asyncio.sleep(0.2)


def placed(pod: Json) -> bool:
    return bool(pod["spec"].get("nodeName"))


def lives(pod: Json) -> bool:
    return pod.get("status", {}).get("phase") not in ("Failed", "Succeeded")


@contextlib.asynccontextmanager
async def adversary(cluster: Cluster, proxy: Proxy, tell: Callable[[Call], None]) -> AsyncIterator[None]:
    """The one that always collides at first, and then lives on what is left."""
    rival, tricks = Rival(cluster), THEIRS // 2

    async def be_faster(call: Call) -> Answer | None:
        nonlocal tricks
        if call.path.endswith("/binding"):
            tell(call)
            if tricks:
                tricks -= 1
                await rival.take(call.node)
        return None

    proxy.before = be_faster
    task = asyncio.create_task(rival.go_on(lambda: tricks))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["adversary", "kube-scheduler"])
async def test_two_schedulers_on_the_same_nodes_get_all_work_done(shared: Shared, tmp_path: Path, who: str) -> None:
    cluster, asked = shared.cluster, Counter[tuple[str, str]]()
    name = "rival" if who == "adversary" else "default-scheduler"

    def count(call: Call) -> None:
        asked[call.path, call.node] += 1

    async def note(call: Call) -> Answer | None:
        if call.node:
            count(call)
        return None

    async def running() -> dict[str, list[Json]] | None:
        """All pods that run by what they belong to, once there are as many as are wanted."""
        pods = [one for one in (await cluster.pods()).values() if one.get("status", {}).get("phase") == "Running"]
        found = {app: [one for one in pods if one["metadata"]["labels"]["app"] == app] for app in wanted}
        return found if {app: len(ones) for app, ones in found.items()} == wanted else None

    wanted = {"ours": OURS, "train": GANG, "theirs": THEIRS}
    await cluster.nodes(NODES, gpus=PER_NODE)
    await cluster.queue("team")
    async with contextlib.AsyncExitStack() as stack:
        made = Proxy(cluster.kubeconfig, tmp_path / "kubeconfig.proxy")
        proxy = await stack.enter_async_context(made.running())
        if who == "kube-scheduler":
            await stack.enter_async_context(kube_scheduler(cluster, tmp_path))
            proxy.before = note
        await stack.enter_async_context(cluster.scheduler(kubeconfig=str(proxy.kubeconfig)))
        await replicas(cluster, "theirs", THEIRS, name)
        if who == "adversary":
            await cluster.until(lambda: _made(cluster, "theirs", THEIRS))
            await stack.enter_async_context(adversary(cluster, proxy, count))
        await asyncio.gather(
            replicas(cluster, "ours", OURS, "kai-scheduler", **{"kai.scheduler/queue": "team"}),
            gang(cluster, "train", GANG),
        )
        found = await cluster.until(running, patience=60)
        await asyncio.sleep(1.0)
        pods = await cluster.pods()
    held = Counter(one["spec"]["nodeName"] for ones in found.values() for one in ones)
    assert max(held.values()) <= PER_NODE
    refused = [one for one in pods.values() if one.get("status", {}).get("phase") == "Failed"]
    assert len(refused) == shared.kubelets.overcommitted
    print(f"{len(refused)} pods were refused by kubelets")
    assert refused or who != "adversary"  # it does collide
    # Every pod of ours was sent to one node, once: what was refused is another pod, and nobody went in circles.
    assert set(asked.values()) == {1}
    ours = [one for one in pods.values() if one["spec"]["schedulerName"] == "kai-scheduler"]
    assert len({path for path, _ in asked}) == len(asked) == len(ours)


async def _made(cluster: Cluster, app: str, count: int) -> bool:
    return sum(one["metadata"]["labels"]["app"] == app for one in (await cluster.pods()).values()) >= count
