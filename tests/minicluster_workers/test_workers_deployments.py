from __future__ import annotations

import itertools
from typing import Any

from kai_py.minicluster.workers.rolling_update import Replicas, Strategy

from .manifests import container
from .world import World


def deployment(replicas: int, image: str = "web:1", **strategy: Any) -> dict[str, Any]:
    labels = {"app": "web"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container() | {"image": image}]}}
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod, "strategy": strategy},
    }


def rolling(surge: int | str, unavailable: int | str) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


async def start(world: World, node: str) -> None:
    for one in world.pods():
        if not one["spec"].get("nodeName"):
            world.storage.bind("default", one["metadata"]["name"], node)
    await world.pass_(1)


def images(world: World) -> list[str]:
    living = [one for one in world.pods() if "deletionTimestamp" not in one["metadata"]]
    return sorted(one["spec"]["containers"][0]["image"] for one in living)


async def test_a_deployment_has_its_replicas_through_a_replicaset(world: World):
    [node] = world.add_nodes()
    world.storage.create("deployments.apps", deployment(3))
    await world.settle()
    await start(world, node)
    [replica_set] = world.storage.list("replicasets.apps")
    digest = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"web-{digest}"
    assert [one["metadata"]["labels"]["pod-template-hash"] for one in world.pods()] == [digest] * 3
    assert world.storage.get("deployments.apps", "web", "default")["status"]["readyReplicas"] == 3


async def test_a_deleted_replica_is_replaced(world: World):
    world.storage.create("deployments.apps", deployment(2))
    await world.settle()
    world.storage.delete("pods", world.pods()[0]["metadata"]["name"], "default")
    await world.settle()
    assert len(world.pods()) == 2


async def test_scaling_down_keeps_the_pods_that_run(world: World):
    [node] = world.add_nodes()
    world.storage.create("deployments.apps", deployment(3))
    await world.settle()
    kept = world.pods()[1]["metadata"]["name"]
    world.storage.bind("default", kept, node)
    await world.pass_(1)
    world.storage.patch("deployments.apps", "web", {"spec": {"replicas": 1}}, "default")
    await world.settle()
    assert [one["metadata"]["name"] for one in world.pods()] == [kept]


async def test_a_new_template_takes_over_as_its_pods_become_ready(world: World):
    [node] = world.add_nodes()
    world.storage.create("deployments.apps", deployment(2))
    await world.settle()
    await start(world, node)
    world.storage.update("deployments.apps", deployment(2, image="web:2", **rolling("100%", 0)))
    await world.settle()
    assert images(world) == ["web:1", "web:1", "web:2", "web:2"]
    await start(world, node)
    await world.pass_(1)
    assert images(world) == ["web:2", "web:2"]
    status = world.storage.get("deployments.apps", "web", "default")["status"]
    assert (status["updatedReplicas"], status["replicas"]) == (2, 2)


async def steps(world: World, before: dict[str, Any], after: dict[str, Any]) -> list[list[str]]:
    """The images that live after each step of a rollout, in which whoever waits is started."""
    [node] = world.add_nodes()
    world.storage.create("deployments.apps", before)
    await world.settle()
    await start(world, node)
    world.storage.update("deployments.apps", after)
    await world.settle()
    seen = []
    for _ in range(8):
        seen.append([image.removeprefix("web:") for image in images(world)])
        await start(world, node)
        await world.pass_(1)
    return [now for number, now in enumerate(seen) if now not in seen[:number]]


async def test_a_rolling_update_goes_as_far_over_and_under_as_it_may(world: World):
    after = deployment(4, image="web:2")  # 25 % each way
    assert (await steps(world, deployment(4), after))[0] == ["1", "1", "1", "2", "2"]


async def test_without_a_surge_a_replica_ends_before_another_is_made(world: World):
    after = deployment(2, image="web:2", **rolling(0, 1))
    assert await steps(world, deployment(2), after) == [["1", "2"], ["2", "2"]]


async def test_recreation_ends_all_before_any_is_made(world: World):
    after = deployment(2, image="web:2", type="Recreate")
    assert await steps(world, deployment(2), after) == [["2", "2"]]


def test_every_rollout_ends_and_keeps_to_its_bounds():
    for wanted, surge, absent in itertools.product(range(5), range(3), range(3)):
        strategy = Strategy.of({"spec": deployment(wanted, **rolling(surge, absent))["spec"]})
        current, old = Replicas(0, 0, 0), [Replicas(wanted, wanted, wanted)]
        for _ in range(20):
            size, kept = strategy.sizes(current, old)
            ready = min(current.ready, size) + sum(min(one.ready, left) for one, left in zip(old, kept, strict=True))
            assert size + sum(kept) <= wanted + max(surge, 0)
            assert ready >= wanted - strategy.absent
            current, old = Replicas(size, size, size), [Replicas(left, left, left) for left in kept]
        assert (current.size, [one.size for one in old]) == (wanted, [0])
