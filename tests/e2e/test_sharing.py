"""Parts of GPUs on a live cluster: placed, labelled with their device and bound, where settings trust the nodes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kai_py.admission.shared_gpus import prepared
from kai_py.admission.verdict import Known
from kai_py.cluster.reservations import Seat
from kai_py.errors import ConflictError, NotFoundError
from kai_py.kube.listing import list_all
from kai_py.operators.kinds import CONFIG_MAPS, NAMESPACES, PODS
from kai_py.operators.reservation_pods import reservation_pod
from kai_py.settings.load import load_settings

from .harness import Cluster, Json

HOLDING = "kai-resource-reservation"
GROUP = "runai-gpu-group"
DEVICE = "run.ai/reserve_for_gpu_index"


async def _fraction(cluster: Cluster, name: str, part: str) -> None:
    """A pod that asks for a part of a GPU."""
    metadata = {"name": name, "labels": {"kai.scheduler/queue": "team"}, "annotations": {"gpu-fraction": part}}
    container = {"name": "main", "image": "example.com/main:1", "resources": {"requests": {"cpu": "1"}}}
    spec = {"schedulerName": "kai-scheduler", "containers": [container]}
    await cluster.create(
        PODS.path(cluster.namespace), {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    )


async def test_halves_share_a_device_and_say_which(cluster: Cluster, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("gpuSharing: trusted")
    await cluster.nodes(1, gpus=2)
    await cluster.queue("team")
    async with cluster.scheduler(settings_file=settings):
        for name in ("one", "two", "three"):
            await _fraction(cluster, name, "0.5")
            await cluster.until_bound(name)
        pods = await cluster.pods()
        devices = [pods[name]["metadata"]["labels"]["runai-gpu-group"] for name in ("one", "two", "three")]
        assert devices[0] == devices[1] != devices[2]
        await _fraction(cluster, "large", "0.8")
        assert await cluster.until(lambda: cluster.message("large"))
        assert not (await cluster.pods())["large"]["spec"].get("nodeName")


async def test_without_trust_a_part_of_a_gpu_waits_and_is_told_why(cluster: Cluster) -> None:
    await cluster.nodes(1, gpus=2)
    await cluster.queue("team")
    async with cluster.scheduler():
        await _fraction(cluster, "half", "0.5")
        assert "gpuSharing" in await cluster.until(lambda: cluster.message("half"))


@dataclass
class Node:
    """What runs on nodes: the device plugin gives GPUs to reservation pods, whose containers say which they got."""

    cluster: Cluster
    gpus: int = 2
    #: Reservation pods whose containers say nothing, because their image cannot be pulled.
    mute: bool = False
    held: dict[str, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Play, until cancelled."""
        while True:
            for pod in await reservations(self.cluster):
                with contextlib.suppress(NotFoundError):
                    await self._look(pod)
            there = {pod["metadata"]["uid"] for pod in await reservations(self.cluster)}
            self.held = {device: uid for device, uid in self.held.items() if uid in there}
            await asyncio.sleep(0.05)

    async def _look(self, pod: Json) -> None:
        meta, client = pod["metadata"], self.cluster.client
        path = PODS.path(meta["namespace"], meta["name"])
        if "deletionTimestamp" in meta:
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
            await client.delete(path, options)
        elif not self.mute and DEVICE not in meta.get("annotations", {}):
            node = pod["spec"]["nodeName"]
            free = [name for number in range(self.gpus) if (name := f"GPU-{node}-{number}") not in self.held]
            self.held[free[0]] = meta["uid"]
            await client.patch(f"{path}/status", {"status": {"phase": "Running"}})
            await client.patch(path, {"metadata": {"annotations": {DEVICE: free[0]}}})


@contextlib.asynccontextmanager
async def node_of(cluster: Cluster, **more: Any) -> AsyncIterator[Node]:
    """A node with a device plugin, and the namespace that the chart makes."""
    names = {"kind": "Namespace", "metadata": {"name": HOLDING}}
    with contextlib.suppress(ConflictError):
        await cluster.client.post(NAMESPACES.path(), {"apiVersion": "v1", **names})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": HOLDING}}
    with contextlib.suppress(ConflictError):
        await cluster.client.post(f"/api/v1/namespaces/{HOLDING}/serviceaccounts", account)
    node = Node(cluster, **more)
    await cluster.nodes(1, gpus=node.gpus, **{"nvidia.com/gpu.memory": "80000"})
    await cluster.queue("team")
    playing = asyncio.create_task(node.run())
    try:
        yield node
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        for pod in await reservations(cluster):
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
            with contextlib.suppress(NotFoundError):
                await cluster.client.delete(PODS.path(HOLDING, pod["metadata"]["name"]), options)


async def reservations(cluster: Cluster) -> list[Json]:
    return await list_all(cluster.client, PODS, HOLDING)


def settings_in(folder: Path, **more: Any) -> Path:
    file = folder / "settings.yaml"
    reservation = {"runtimeClassName": "", **more}
    file.write_text(yaml.safe_dump({"gpuSharing": "reservation", "gpuReservation": reservation}), encoding="utf-8")
    return file


async def share(cluster: Cluster, name: str, **annotations: str) -> Json:
    """A pod that asks for a part of a GPU, as the webhook lets it through."""
    sent = {key.replace("_", "-"): text for key, text in annotations.items()}
    metadata = {"name": name, "labels": {"kai.scheduler/queue": "team"}, "annotations": sent}
    container = {"name": "main", "image": "example.com/main:1", "resources": {"requests": {"cpu": "1"}}}
    spec: Json = {"schedulerName": "kai-scheduler", "containers": [container]}
    pod: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    known = Known(settings=load_settings({"gpuSharing": "reservation", "gpuReservation": {"runtimeClassName": ""}}))
    changed = prepared(pod, known, "0a1b2c")
    assert changed is not None
    metadata["annotations"] = {**sent, **changed["metadata"]["annotations"]}
    return await cluster.create(PODS.path(cluster.namespace), {**pod, "spec": {**spec, **changed["spec"]}})


async def seen_by(cluster: Cluster, name: str) -> dict[str, str]:
    """The variables that a pod's container has at its start: all that it takes from ConfigMaps must be there."""
    (container,) = (await cluster.pods())[name]["spec"]["containers"]
    found = {}
    for variable in container["env"]:
        reference = variable["valueFrom"]["configMapKeyRef"]
        source = await cluster.client.get_object(CONFIG_MAPS.path(cluster.namespace, reference["name"]))
        found[variable["name"]] = source["data"][reference["key"]]
    return found


async def held(cluster: Cluster) -> dict[str, str]:
    """Device by group, of all reservation pods."""
    pods = await reservations(cluster)
    return {one["metadata"]["labels"][GROUP]: one["metadata"].get("annotations", {}).get(DEVICE, "") for one in pods}


async def none_held(cluster: Cluster) -> bool:
    return not await reservations(cluster)


async def test_pods_that_share_a_device_see_the_one_that_is_held_for_them(cluster: Cluster, tmp_path: Path) -> None:
    async with node_of(cluster), cluster.scheduler(settings_file=settings_in(tmp_path)):
        await share(cluster, "one", gpu_fraction="0.5")
        await share(cluster, "two", gpu_memory="40000")
        await share(cluster, "three", gpu_fraction="0.25")
        await cluster.until_bound("one", "two", "three")
        pods, devices = await cluster.pods(), await held(cluster)
        groups = [pods[name]["metadata"]["labels"][GROUP] for name in ("one", "two", "three")]
        assert len(set(groups)) == len(devices) == 2
        for name, group, portion in zip(("one", "two", "three"), groups, ("0.50", "0.50", "0.25"), strict=True):
            seen = await seen_by(cluster, name)
            assert seen == {
                "NVIDIA_VISIBLE_DEVICES": devices[group],
                "GPU_PORTION": portion,
                "RUNAI_NUM_OF_GPUS": portion,
            }
            assert pods[name]["metadata"]["annotations"]["received-resource-type"] == "Fraction"
        for pod in await reservations(cluster):
            assert pod["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1"}
        # Both GPUs are shared, and count once: there is room for a quarter, and none for a whole one.
        await cluster.pod("whole")
        await share(cluster, "four", gpu_fraction="0.25")
        await cluster.until_bound("four")
        assert await cluster.until(lambda: cluster.message("whole"))
        for name in ("one", "two", "three", "four"):
            await cluster.delete_pod(name)
        await cluster.until_bound("whole")
        await cluster.until(lambda: none_held(cluster))


async def test_a_share_of_several_devices_sees_them_all(cluster: Cluster, tmp_path: Path) -> None:
    async with node_of(cluster) as node, cluster.scheduler(settings_file=settings_in(tmp_path)):
        await share(cluster, "both", gpu_fraction="0.5", gpu_fraction_num_devices="2")
        await cluster.until_bound("both")
        seen = (await seen_by(cluster, "both"))["NVIDIA_VISIBLE_DEVICES"].split(",")
        assert sorted(seen) == sorted(node.held)


async def test_a_pod_that_nobody_has_prepared_waits_and_is_told_so(cluster: Cluster, tmp_path: Path) -> None:
    async with node_of(cluster), cluster.scheduler(settings_file=settings_in(tmp_path)):
        await _fraction(cluster, "half", "0.5")
        assert "is not prepared to share a GPU" in await cluster.until(lambda: cluster.message("half"))
        assert await cluster.places() == {}
        assert await none_held(cluster)


async def test_a_device_that_is_not_reported_is_given_back_and_the_pod_is_told(
    cluster: Cluster, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path, timeout="1s")
    async with node_of(cluster, mute=True), cluster.scheduler(settings_file=settings):
        await share(cluster, "half", gpu_fraction="0.5")

        async def told() -> bool:
            return "is being reserved" in await cluster.message("half")

        await cluster.until(told)

        async def refused() -> bool:
            path = f"/apis/events.k8s.io/v1/namespaces/{cluster.namespace}/events"
            notes = [one["note"] for one in (await cluster.client.get_object(path))["items"]]
            return any("has not said its device within 1 seconds" in note for note in notes)

        await cluster.until(refused)
        await cluster.until(lambda: none_held(cluster))
        assert await cluster.places() == {}
        assert "refused this pod a moment ago" in await cluster.until(lambda: cluster.message("half"))


async def test_a_new_leader_finds_what_a_dead_one_has_left(cluster: Cluster, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with node_of(cluster) as node:
        async with cluster.scheduler(settings_file=settings):
            await share(cluster, "stays", gpu_fraction="0.5")
            await cluster.until_bound("stays")
        before = await held(cluster)
        # A leader died between the first write and the next: it has held a device for a pod that is not bound.
        left = reservation_pod(Seat("node-0", "gpu-left"), "kai-scheduler", HOLDING, load_settings({}).gpu_reservation)
        del left["spec"]["runtimeClassName"]
        await cluster.client.post(PODS.path(HOLDING), left)
        async with cluster.scheduler(settings_file=settings):
            await share(cluster, "half", gpu_fraction="0.5")
            await share(cluster, "more", gpu_fraction="0.75")
            await cluster.until_bound("half", "more")
            pods = await cluster.pods()
            assert pods["half"]["metadata"]["labels"][GROUP] in before
            assert await seen_by(cluster, "half") == await seen_by(cluster, "stays")
            devices = await held(cluster)
            assert "gpu-left" not in devices
            assert {**devices, **before} == devices
            assert sorted(devices.values()) == sorted(node.held)


async def test_a_reservation_pod_that_somebody_deletes_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    async with node_of(cluster), cluster.scheduler(settings_file=settings_in(tmp_path)):
        await share(cluster, "half", gpu_fraction="0.5")
        await cluster.until_bound("half")
        (pod,) = await reservations(cluster)
        before = await held(cluster)
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        await cluster.client.delete(PODS.path(HOLDING, pod["metadata"]["name"]), options)

        async def back() -> bool:
            found = await reservations(cluster)
            uids = [one["metadata"]["uid"] for one in found]
            return bool(uids) and uids != [pod["metadata"]["uid"]] and await held(cluster) == before

        assert await cluster.until(back)
        await share(cluster, "other", gpu_fraction="0.5")
        await cluster.until_bound("other")
        assert await seen_by(cluster, "other") == await seen_by(cluster, "half")


async def test_when_another_gpu_comes_back_those_who_share_the_lost_one_are_ended(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with node_of(cluster) as node, cluster.scheduler(settings_file=settings_in(tmp_path)):
        await share(cluster, "half", gpu_fraction="0.5")
        await cluster.until_bound("half")
        (pod,) = await reservations(cluster)
        (lost,) = node.held
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        await cluster.client.delete(PODS.path(HOLDING, pod["metadata"]["name"]), options)
        node.gpus, node.held = 3, {**node.held, lost: "somebody"}
        keep, node._look = node._look, _keeping(node, lost)  # type: ignore[method-assign]

        async def ended() -> bool:
            found = (await cluster.pods()).get("half")
            return found is None or "deletionTimestamp" in found["metadata"]

        assert await cluster.until(ended)
        node._look = keep  # type: ignore[method-assign]


def _keeping(node: Node, device: str) -> Any:
    """The device plugin has given a GPU to somebody else."""
    look = node._look

    async def keep(pod: Json) -> None:
        node.held[device] = "somebody"
        await look(pod)

    return keep
