"""examples/shared-gpus, live: kubelets' device plugins and reservation pods, or a DRA driver and claims."""

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
from kai_py.cluster.shares.ways import Ways
from kai_py.kube.client import connect
from kai_py.minicluster import MiniCluster
from kai_py.minicluster.devices.offers import equip_pool, parse_offers
from kai_py.minicluster.pools import SERVERS, nodes
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


@pytest.fixture
async def claiming(tmp_path: Path) -> AsyncIterator[Live]:
    """One node whose GPUs a DRA driver offers, to be shared."""
    mini = MiniCluster(workers=workers())
    furnish(mini, equip_pool(nodes("l40s-inference", 1), parse_offers(["l40s=shared"], SERVERS)), crds=True)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(mini)
        mini.write_kubeconfig(tmp_path / "kubeconfig")
        client = await stack.enter_async_context(await connect(str(tmp_path / "kubeconfig")))
        made = Live(mini.storage, Cluster(tmp_path / "kubeconfig", client, "default", real=False))
        made.apply(documents(SHARED / "04-claims.yaml")[0])
        yield made


async def test_parts_of_gpus_are_claimed_with_and_without_webhooks(claiming: Live) -> None:
    first, *pods = documents(SHARED / "04-claims.yaml")
    known = Known(settings=load_settings(first["data"]["settings.yaml"]))
    for pod in pods:
        assert faults(pod, "default", Ways.of(known.settings)) == []
        changed = prepared(pod, known, "")
        assert changed is not None
        claiming.apply({**pod, "spec": {**pod["spec"], **changed["spec"]}})
    claiming.apply(*documents(SHARED / "05-claims-without-webhooks.yaml"))
    async with claiming.cluster.scheduler():
        names = ("claimed-half", "claimed-memory", "claimed-left", "claimed-right")
        await claiming.cluster.until(lambda: claiming.running(*names))
        claims = claiming.storage.list("resourceclaims.resource.k8s.io", "default")
        results = {
            one["metadata"]["ownerReferences"][0]["name"]: one["status"]["allocation"]["devices"]["results"][0]
            for one in claims
        }
        assert {results[name]["consumedCapacity"]["cores"] for name in names if name != "claimed-memory"} == {"50"}
        assert len({one["device"] for one in results.values()}) == 2
        templates = claiming.storage.list("resourceclaimtemplates.resource.k8s.io", "default")
        assert len(templates) == 2
