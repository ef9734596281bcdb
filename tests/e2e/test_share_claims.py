"""Parts of GPUs by annotation where a DRA driver offers them: from the annotation to a device that pods share.

Claims are made by the claim controllers themselves: kube-controller-manager's on a real control plane, the embedded
cluster's there. On a real one the webhook prepares pods; the embedded server asks none, so that its tests do it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kai_py.admission.shared_gpus import faults, prepared
from kai_py.admission.verdict import Known
from kai_py.cluster.shares.ways import Ways
from kai_py.kube.listing import list_all
from kai_py.minicluster import MiniCluster
from kai_py.minicluster.workers.claims import Claims
from kai_py.operators import share_templates
from kai_py.operators.kinds import CLAIMS, CONFIG_MAPS, DEVICE_CLASSES, PODS, SLICES
from kai_py.operators.share_templates import CLAIM_TEMPLATES
from kai_py.settings.load import load_settings

from .claims import claims, gang
from .conftest import CRDS, _cluster
from .control_plane import assets, running_process
from .harness import Cluster, Json
from .test_admission import settings, webhooks

DRIVER = CLASS = "shared.example.com"
DOCUMENT = {
    "gpuSharing": "claims",
    "gpuShareClaims": {"deviceClassName": CLASS, "inProportion": ["cores"]},
    "dra": {"gpuClasses": [CLASS]},
}


@pytest.fixture(params=["embedded", "real"])
async def cluster(
    request: pytest.FixtureRequest, tmp_path: Path, real_kubeconfig: Path | None
) -> AsyncIterator[Cluster]:
    """A cluster with a controller that makes claims from templates."""
    if request.param == "embedded":
        async with MiniCluster(crds=CRDS, workers=[Claims().run]) as mini:
            kubeconfig = tmp_path / "kubeconfig"
            mini.write_kubeconfig(kubeconfig)
            async for made in _cluster(kubeconfig, real=False, faults=mini.faults):
                yield made
        return
    binaries = assets()
    if binaries is None or real_kubeconfig is None or not (binaries / "kube-controller-manager").exists():
        pytest.skip("KUBEBUILDER_ASSETS does not name a folder with a control plane")
    command = [
        str(binaries / "kube-controller-manager"), f"--kubeconfig={real_kubeconfig}", "--leader-elect=false",
        "--controllers=resourceclaim-controller", "--secure-port=0",
    ]  # fmt: skip
    with running_process(command, tmp_path / "controllers.log"):
        async for made in _cluster(real_kubeconfig, real=True, faults=None):
            yield made


def capacity(value: str, least: str, step: str) -> Json:
    return {"value": value, "requestPolicy": {"default": value, "validRange": {"min": least, "step": step}}}


async def offer(cluster: Cluster, node: str, memory: str, count: int = 1) -> None:
    """What a driver publishes of a node's GPUs."""
    more = {"cores": capacity("100", "0", "1"), "memory": capacity(memory, "1Mi", "1Mi")}
    found = [{"name": f"gpu-{n}", "allowMultipleAllocations": True, "capacity": more} for n in range(count)]
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": DRIVER, "nodeName": node, "pool": pool, "devices": found}
    one = {"apiVersion": SLICES.api_version, "kind": "ResourceSlice", "metadata": {"name": f"{node}-shared"}}
    await cluster.create(SLICES.path(), {**one, "spec": spec})


async def device_class(cluster: Cluster) -> None:
    selector = {"cel": {"expression": f"device.driver == '{DRIVER}'"}}
    one = {"apiVersion": DEVICE_CLASSES.api_version, "kind": "DeviceClass", "metadata": {"name": CLASS}}
    await cluster.create(DEVICE_CLASSES.path(), {**one, "spec": {"selectors": [selector]}})


@contextlib.asynccontextmanager
async def sharing(cluster: Cluster, folder: Path, **more: Any) -> AsyncIterator[None]:
    """The scheduler and, where the API server asks any, the webhooks."""
    text = yaml.safe_dump({**DOCUMENT, **more})
    file = folder / "settings.yaml"
    file.write_text(text, encoding="utf-8")
    async with contextlib.AsyncExitStack() as stack:
        if cluster.real:
            await cluster.create(CONFIG_MAPS.path(cluster.namespace), settings(text))
            await stack.enter_async_context(webhooks(cluster, folder))
        await stack.enter_async_context(cluster.scheduler(settings_file=file))
        yield


async def share(cluster: Cluster, name: str, group: str = "", *, guarded: bool = True, **annotations: str) -> Json:
    """A pod with annotations and no claim, as its author writes it; ``guarded`` where a real server has webhooks."""
    sent = {key.replace("_", "-"): text for key, text in annotations.items()}
    metadata = {"name": name, "labels": {"kai.scheduler/queue": "team"}, "annotations": sent}
    if group:
        metadata["annotations"] = {**sent, "pod-group-name": group}
    container = {"name": "main", "image": "example.com/main:1", "resources": {"requests": {"cpu": "1"}}}
    spec: Json = {"schedulerName": "kai-scheduler", "containers": [container]}
    pod: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    if not (cluster.real and guarded):
        known = Known(settings=load_settings(DOCUMENT))
        assert faults(pod, cluster.namespace, Ways.of(known.settings)) == []
        changed = prepared(pod, known, "")
        assert changed is not None
        pod["spec"] = {**spec, **changed["spec"]}
    return await cluster.create(PODS.path(cluster.namespace), pod)


async def templates(cluster: Cluster) -> dict[str, Json]:
    found = await list_all(cluster.client, CLAIM_TEMPLATES, cluster.namespace)
    return {one["metadata"]["name"]: one for one in found}


async def device_of(cluster: Cluster, pod: str) -> tuple[str, str, Json]:
    """Pool, device and consumed capacity of a pod's part of a GPU."""
    (status,) = (await cluster.pods())[pod]["status"]["resourceClaimStatuses"]
    claim = (await claims(cluster))[status["resourceClaimName"]]
    (result,) = claim["status"]["allocation"]["devices"]["results"]
    assert [one["name"] for one in claim["status"]["reservedFor"]] == [pod]
    return result["pool"], result["device"], result["consumedCapacity"]


async def test_two_halves_share_a_gpu_the_third_waits_and_the_template_goes_with_the_last(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_templates, "EVERY", 0.2)
    monkeypatch.setattr(share_templates, "KEPT", 2)
    await cluster.nodes(1, gpus=0)
    await device_class(cluster)
    await offer(cluster, "node-0", "81559Mi")
    await cluster.queue("team")
    async with sharing(cluster, tmp_path):
        made = [await share(cluster, name, gpu_fraction="0.5") for name in ("one", "two")]
        (entry,) = made[0]["spec"]["resourceClaims"]
        assert made[0]["spec"]["containers"][0]["resources"]["claims"] == [{"name": entry["name"]}]
        await cluster.until_bound("one", "two")
        assert await device_of(cluster, "one") == await device_of(cluster, "two")
        _, _, consumed = await device_of(cluster, "one")
        assert consumed == {"memory": "40779Mi", "cores": "50"}
        assert list(await templates(cluster)) == [entry["resourceClaimTemplateName"]]

        await share(cluster, "three", gpu_memory="8000")
        assert "capacity" in await cluster.until(lambda: cluster.message("three"))
        assert len(await templates(cluster)) == 2
        await cluster.delete_pod("one")
        if not cluster.real:  # without a kubelet and a garbage collector, somebody has to play them
            pass
        await cluster.until_bound("three")
        assert (await device_of(cluster, "three"))[2] == {"memory": "8000Mi", "cores": "10"}
        for name in ("two", "three"):
            await cluster.delete_pod(name)

        async def gone() -> bool:
            return not await templates(cluster)

        await cluster.until(gone)


async def test_a_gang_of_shares_starts_together_on_cards_of_two_sizes(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.nodes(2, gpus=0)
    await device_class(cluster)
    await offer(cluster, "node-0", "24Gi")
    await offer(cluster, "node-1", "80Gi")
    await cluster.queue("team")
    async with sharing(cluster, tmp_path):
        await gang(cluster, "gang", 4)
        for number in range(3):
            await share(cluster, f"gang-{number}", group="gang", gpu_fraction="0.5")
        assert await cluster.until(lambda: cluster.message("gang-0"))
        assert await cluster.places() == {}
        await share(cluster, "gang-3", group="gang", gpu_fraction="0.5")
        places = await cluster.until_bound(*(f"gang-{number}" for number in range(4)))
        assert sorted(places.values()) == ["node-0", "node-0", "node-1", "node-1"]
        amounts = {places[name]: (await device_of(cluster, name))[2]["memory"] for name in places}
        assert amounts == {"node-0": "12Gi", "node-1": "40Gi"}


async def test_what_is_missing_is_said_and_then_made_up_for(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_templates, "EVERY", 0.2)
    await cluster.nodes(2, gpus=0)
    await cluster.queue("team")
    async with sharing(cluster, tmp_path):
        await share(cluster, "half", gpu_fraction="0.5")
        assert f"there is no DeviceClass {CLASS}" in await cluster.until(lambda: cluster.message("half"))
        await device_class(cluster)

        async def told() -> bool:
            return "has no device that may be allocated several times" in await cluster.message("half")

        await cluster.until(told)
        await offer(cluster, "node-0", "24Gi")
        await cluster.until_bound("half")


async def test_a_claim_by_the_cards_that_there_are_is_made_anew_when_another_card_comes(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_templates, "EVERY", 0.2)
    await cluster.nodes(2, gpus=0)
    await device_class(cluster)
    await offer(cluster, "node-0", "24Gi")
    await cluster.queue("team")
    async with sharing(cluster, tmp_path):
        await share(cluster, "half", gpu_fraction="0.5")
        await cluster.until_bound("half")
        await share(cluster, "most", gpu_fraction="0.75")
        assert "capacity" in await cluster.until(lambda: cluster.message("most"))
        await offer(cluster, "node-1", "80Gi")
        await cluster.until_bound("most")
        assert await device_of(cluster, "most") == ("node-1", "gpu-0", {"memory": "60Gi", "cores": "75"})


async def test_a_template_that_somebody_deletes_comes_back_and_a_new_leader_knows_it(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_templates, "EVERY", 0.2)
    await cluster.nodes(1, gpus=0)
    await device_class(cluster)
    await offer(cluster, "node-0", "80Gi")
    await cluster.queue("team")
    async with sharing(cluster, tmp_path):
        await share(cluster, "whole", gpu_fraction="1")
        await cluster.until_bound("whole")
        await share(cluster, "waits", gpu_fraction="1")
        await cluster.until(lambda: cluster.message("waits"))
        ((name, before),) = (await templates(cluster)).items()
        await cluster.client.delete(CLAIM_TEMPLATES.path(cluster.namespace, name))

        async def back() -> bool:
            found = (await templates(cluster)).get(name)
            return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

        await cluster.until(back)


async def test_a_claim_that_somebody_deletes_comes_back(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_templates, "EVERY", 0.2)
    await cluster.nodes(1, gpus=0)
    await device_class(cluster)
    await offer(cluster, "node-0", "80Gi")
    await cluster.queue("team")
    async with sharing(cluster, tmp_path):
        await share(cluster, "whole", gpu_fraction="1")
        await cluster.until_bound("whole")
        await share(cluster, "waits", gpu_memory="8000")
        await cluster.until(lambda: cluster.message("waits"))
        (status,) = (await cluster.pods())["waits"]["status"]["resourceClaimStatuses"]
        await cluster.client.delete(CLAIMS.path(cluster.namespace, status["resourceClaimName"]))
        await cluster.delete_pod("whole")
        await cluster.until_bound("waits")


async def test_a_pod_that_nobody_has_prepared_waits_and_is_told_so(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.nodes(1, gpus=0)
    await cluster.queue("team")
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(DOCUMENT), encoding="utf-8")
    async with cluster.scheduler(settings_file=file):
        metadata = {"name": "half", "labels": {"kai.scheduler/queue": "team"}, "annotations": {"gpu-fraction": "0.5"}}
        spec = {"schedulerName": "kai-scheduler", "containers": [{"name": "main", "image": "example.com/main:1"}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        await cluster.create(PODS.path(cluster.namespace), pod)
        assert "it lacks the claim kai-gpu-share" in await cluster.until(lambda: cluster.message("half"))
