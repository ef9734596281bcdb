"""The examples that claim devices, live: drivers, kubelets and a claim controller, from apply to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kai_py.cli.demo.devices import DeviceBooks
from kai_py.cli.demo.world import CLAIMS, PODS, SLICES, Thing, World
from kai_py.cli.minicluster import furnish, workers
from kai_py.kube.client import ApiClient, connect
from kai_py.kube.resource import ResourceKind
from kai_py.kube.wire import EventType
from kai_py.minicluster import MiniCluster
from kai_py.minicluster.devices.offers import equip_pool, parse_offers
from kai_py.minicluster.pools import SERVERS, nodes
from kai_py.minicluster.workers.bound_pods import DURATION
from tests.minicluster_workers.examples import BASE, EXAMPLES, OFFERS, documents

from .harness import Cluster, Json

PATIENCE = 60.0


@dataclass
class Live:
    """A cluster that is alive, and what has happened there.

    Attributes:
        given: pool and device of all results, by claim, of claims that were ever allocated.
        placed: node by pod.
        faults: what must not have happened.
    """

    storage: Any
    harness: Cluster
    world: World
    given: dict[str, list[Json]] = field(default_factory=dict)
    placed: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def hear(self, kind: ResourceKind[Thing], event: EventType, one: Thing) -> None:
        if kind is PODS and one.node:
            self.placed[one.metadata.name] = one.node
        if kind is CLAIMS and event != "DELETED" and "allocation" in one.status:
            self.given[one.metadata.name] = one.status["allocation"]["devices"]["results"]

    def of(self, pod: str) -> list[Json]:
        """What a pod was given."""
        [results] = [results for claim, results in self.given.items() if claim.startswith(f"{pod}-")]
        return results


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    """The cluster that the guide starts for these examples."""
    cluster = MiniCluster(workers=workers())
    furnish(cluster, equip_pool(nodes("devices", 16), parse_offers(OFFERS, SERVERS)), crds=True)
    for one in documents(BASE[0]):
        cluster.storage.create("queues.scheduling.run.ai", one)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(cluster)
        kubeconfig = tmp_path / "kubeconfig"
        cluster.write_kubeconfig(kubeconfig)
        client: ApiClient = await stack.enter_async_context(await connect(str(kubeconfig)))
        world = World(client)
        watching = asyncio.create_task(world.run())
        made = Live(cluster.storage, Cluster(kubeconfig, client, "default", real=False), world)
        books = DeviceBooks(world, made.faults.append)
        world.listeners += [made.hear, lambda kind, event, one: books.hear(event, one) if kind is CLAIMS else None]
        await world.synced()
        yield made
        books.close()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert made.faults == []


def shorter(one: Json) -> Json:
    """The manifest with pods that run for a second."""
    spec = one.get("spec") or {}
    for metadata in (one["metadata"], (spec.get("template") or {}).get("metadata") or {}):
        if DURATION in (metadata.get("annotations") or {}):
            metadata["annotations"][DURATION] = "1s"
    return one


async def test_all_examples_with_claims_run_to_their_end(live: Live) -> None:
    files = [file for file in EXAMPLES if file.name >= "10"]
    async with live.harness.scheduler():
        for one in documents(*files):
            live.storage.create(live.storage.registry.by_kind(one["apiVersion"], one["kind"]).kind.key, shorter(one))
        expected = 1 + 4 + 4 + 1 + 1 + 1 + 1 + 1 + 1 + 4

        def ended() -> bool:
            return sum(pod.phase == "Succeeded" for pod in live.world.all(PODS)) == expected

        assert await live.world.until(ended, PATIENCE), [(pod.metadata.name, pod.phase) for pod in live.world.all(PODS)]
        assert await live.world.until(lambda: not live.world.all(CLAIMS), PATIENCE)
    assert len(live.given) == expected
    roots = {
        (one.spec["driver"], one.spec["pool"]["name"], device["name"]): (device.get("attributes") or {})
        .get("resource.kubernetes.io/pcieRoot", {})
        .get("string")
        for one in live.world.all(SLICES)
        for device in one.spec.get("devices") or ()
    }
    pair = [roots[one["driver"], one["pool"], one["device"]] for one in live.of("ingest")]
    assert pair[0] == pair[1] is not None
    gang = {node for pod, node in live.placed.items() if pod.startswith("foundation-")}
    assert len(gang) == 4
    assert live.placed["untrusted"].startswith("gb200")
    assert live.placed["preprocess"].startswith("a100")
