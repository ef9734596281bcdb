"""examples/shared-gpus, live: the kubelets' device plugin gives GPUs out, and reservation pods say which they got."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kai_py.admission.shared_gpus import configmaps_of, faults, prepared
from kai_py.admission.verdict import Known
from kai_py.cli.minicluster import furnish, workers
from kai_py.kube.client import connect
from kai_py.minicluster import MiniCluster
from kai_py.minicluster.pools import nodes
from kai_py.minicluster.workers.device_plugins import gpus_on
from kai_py.settings.load import load_settings
from tests.minicluster_workers.examples import FOLDER, documents

from .harness import Cluster, Json
from .test_sharing import HOLDING, none_held, reservations

SHARED = FOLDER / "shared-gpus"
DEVICE = "run.ai/reserve_for_gpu_index"


@dataclass
class Live:
    """An embedded cluster that is alive."""

    storage: Any
    cluster: Cluster

    def apply(self, *objects: Json) -> None:
        for one in objects:
            kind = self.storage.registry.by_kind(one["apiVersion"], one["kind"]).kind.key
            self.storage.create(kind, one)

    async def running(self, *names: str) -> bool:
        pods = await self.cluster.pods()
        return all(pods[name]["status"].get("phase") == "Running" for name in names)

    async def seen(self, name: str) -> list[str]:
        """The GPUs that a pod's container sees."""
        configmap = configmaps_of((await self.cluster.pods())[name])[0]
        found = self.storage.get("configmaps", configmap, "default")
        return str(found["data"]["NVIDIA_VISIBLE_DEVICES"]).split(",")


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    """One node with eight GPUs, and what the first example makes."""
    mini = MiniCluster(workers=workers())
    furnish(mini, nodes("l40s-inference", 1), crds=True)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(mini)
        mini.write_kubeconfig(tmp_path / "kubeconfig")
        client = await stack.enter_async_context(await connect(str(tmp_path / "kubeconfig")))
        made = Live(mini.storage, Cluster(tmp_path / "kubeconfig", client, "default", real=False))
        made.apply(*documents(SHARED / "01-cluster.yaml"))
        yield made


async def test_parts_of_gpus_are_prepared_placed_and_seen(live: Live) -> None:
    settings = load_settings(documents(SHARED / "01-cluster.yaml")[-1]["data"]["settings.yaml"])
    for pod in documents(SHARED / "02-fraction.yaml"):
        assert faults(pod) == []
        changed = prepared(pod, Known(settings=settings), pod["metadata"]["name"])
        assert changed is not None
        pod["metadata"]["annotations"] |= changed["metadata"]["annotations"]
        live.apply({**pod, "spec": {**pod["spec"], **changed["spec"]}})
    async with live.cluster.scheduler():
        await live.cluster.until(lambda: live.running("half", "memory", "two"))
        (half,), (memory,), two = [await live.seen(name) for name in ("half", "memory", "two")]
        assert half == memory
        assert len(set(two)) == 2
        (node,) = set((await live.cluster.places()).values())
        assert {half, memory, *two} <= set(gpus_on(node, 8))


async def test_halves_without_webhooks_share_a_gpu_until_the_last_has_gone(live: Live) -> None:
    live.apply(*documents(SHARED / "03-without-webhooks.yaml"))
    async with live.cluster.scheduler():
        await live.cluster.until(lambda: live.running("left", "right"))
        (one,) = await reservations(live.cluster)
        assert one["metadata"]["namespace"] == HOLDING
        assert await live.seen("left") == await live.seen("right") == [one["metadata"]["annotations"][DEVICE]]
        for name in ("left", "right"):
            await live.cluster.delete_pod(name)
        await live.cluster.until(lambda: none_held(live.cluster))
        assert live.storage.list("configmaps", "default") == []
