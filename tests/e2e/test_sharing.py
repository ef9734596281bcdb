"""Parts of GPUs on a live cluster: placed, labelled with their device and bound, where settings trust the nodes."""

from __future__ import annotations

from pathlib import Path

from kai_py.operators.kinds import PODS

from .harness import Cluster


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
