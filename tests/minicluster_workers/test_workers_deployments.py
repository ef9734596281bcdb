from __future__ import annotations

from typing import Any

from .manifests import container
from .world import World


def deployment(replicas: int, image: str = "web:1") -> dict[str, Any]:
    labels = {"app": "web"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container() | {"image": image}]}}
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod},
    }


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
    world.storage.update("deployments.apps", deployment(2, image="web:2"))
    await world.settle()
    assert images(world) == ["web:1", "web:1", "web:2", "web:2"]
    await start(world, node)
    await world.pass_(1)
    assert images(world) == ["web:2", "web:2"]
    status = world.storage.get("deployments.apps", "web", "default")["status"]
    assert (status["updatedReplicas"], status["replicas"]) == (2, 2)
