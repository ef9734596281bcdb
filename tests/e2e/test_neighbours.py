"""Pods that care about each other, from their manifests to their nodes."""

from __future__ import annotations

from collections import Counter

from kai_py.operators.kinds import SERVICES

from .harness import Cluster

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
WEB = {"matchLabels": {"app": "web"}}


async def _gang(cluster: Cluster, name: str, pods: int, **spec: object) -> list[str]:
    """A gang of pods with the label ``app=web``."""
    await cluster.gang(name, pods=0, minimum=pods)
    names = [f"{name}-{number}" for number in range(pods)]
    for pod in names:
        await cluster.pod(pod, group=name, app="web", **spec)
    return names


async def test_members_of_a_gang_that_repel_each_other_get_a_node_each(cluster: Cluster) -> None:
    for number in range(3):
        await cluster.nodes(1, prefix=f"n{number}", **{"kubernetes.io/hostname": f"n{number}-0"})
    await cluster.queue("team")
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": WEB}
    async with cluster.scheduler():
        names = await _gang(cluster, "web", 3, affinity={"podAntiAffinity": {REQUIRED: [term]}})
        places = await cluster.until_bound(*names)
        await cluster.pod("late", app="web", affinity={"podAntiAffinity": {REQUIRED: [term]}})
        message = await cluster.until(lambda: cluster.message("late"))
    assert sorted(places.values()) == ["n0-0", "n1-0", "n2-0"]
    assert "anti-affinity excludes (pods app=web by kubernetes.io/hostname)" in message


async def test_a_gang_is_spread_over_zones(cluster: Cluster) -> None:
    for zone in "xyz":
        await cluster.nodes(1, prefix=zone, zone=zone)
    await cluster.queue("team")
    spread = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": WEB}
    async with cluster.scheduler():
        names = await _gang(cluster, "web", 6, topologySpreadConstraints=[spread])
        places = await cluster.until_bound(*names)
    assert Counter(places.values()) == {"x-0": 2, "y-0": 2, "z-0": 2}


async def test_namespaces_are_selected_by_their_labels(cluster: Cluster) -> None:
    for zone in "xy":
        await cluster.nodes(1, prefix=zone, zone=zone)
    await cluster.queue("team")
    own = {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}}
    term = {"topologyKey": "zone", "labelSelector": WEB, "namespaceSelector": own}
    async with cluster.scheduler():
        await cluster.pod("first", app="web")
        places = await cluster.until_bound("first")
        await cluster.pod("second", affinity={"podAntiAffinity": {REQUIRED: [term]}})
        places |= await cluster.until_bound("second")
    assert places["first"] != places["second"]


async def test_pods_of_a_service_are_spread_although_they_say_nothing(cluster: Cluster) -> None:
    """Alone they would be packed; those with GPUs still are."""
    for number in range(3):
        await cluster.nodes(1, prefix=f"n{number}", **{"kubernetes.io/hostname": f"n{number}-0"})
    await cluster.queue("team")
    for app in ("web", "model"):
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": app},
            "spec": {"clusterIP": "None", "selector": {"app": app}},
        }
        await cluster.create(SERVICES.path(cluster.namespace), service)
    async with cluster.scheduler():
        for number in range(3):
            await cluster.pod(f"web-{number}", gpus=0, app="web")
            await cluster.pod(f"batch-{number}", gpus=0)
            await cluster.pod(f"model-{number}", gpus=1, app="model")
        kinds = ("web", "batch", "model")
        places = await cluster.until_bound(*(f"{kind}-{number}" for kind in kinds for number in range(3)))
    nodes = {kind: {node for pod, node in places.items() if pod.startswith(kind)} for kind in kinds}
    assert {kind: len(found) for kind, found in nodes.items()} == {"web": 3, "batch": 1, "model": 1}
