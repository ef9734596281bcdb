"""helm itself installs, upgrades and uninstalls the chart on a fresh API server."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from kai_py.kube.client import connect
from kai_py.kube.listing import list_all
from kai_py.operators.certificates import BUNDLE, CONFIGURATIONS, SECRETS, make, trust
from kai_py.operators.kinds import PRIORITY_CLASSES, QUEUES, TOPOLOGIES
from tests.e2e.control_plane import assets, control_plane

from .charts import CHART, NAMESPACE, Json, helm


def run(kubeconfig: Path, *arguments: str, values: Json | None = None) -> None:
    command = [helm(), *arguments, "--kubeconfig", str(kubeconfig), "--namespace", NAMESPACE]
    if values is not None:
        command += ["--values", "-"]
    done = subprocess.run(
        command, input=json.dumps(values or {}), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


async def test_it_installs_upgrades_and_leaves_what_others_use(tmp_path: Path) -> None:
    helm()
    binaries = assets()
    if binaries is None:
        pytest.skip("KUBEBUILDER_ASSETS does not name a folder with etcd and kube-apiserver")
    with control_plane(binaries, tmp_path) as kubeconfig:
        values: Json = {"topologies": {"racks": {"levels": [{"nodeLabel": "example.com/rack"}]}}}
        run(kubeconfig, "install", "kai-py", str(CHART), "--create-namespace", values=values)
        async with await connect(str(kubeconfig)) as client:
            queues = {one["metadata"]["name"]: one["metadata"]["uid"] for one in await list_all(client, QUEUES)}
            assert set(queues) == {"default-parent-queue", "default-queue"}
            more = {**values, "queues": {"more": {"parentQueue": "default-parent-queue"}}}
            # There is nobody here who would run the job of the hook.
            run(kubeconfig, "upgrade", "kai-py", str(CHART), "--no-hooks", values=more)
            after = {one["metadata"]["name"]: one["metadata"]["uid"] for one in await list_all(client, QUEUES)}
            assert after == {**queues, "more": after["more"]}
            run(kubeconfig, "uninstall", "kai-py")
            assert {one["metadata"]["name"] for one in await list_all(client, QUEUES)} == set(after)
            assert [one["metadata"]["name"] for one in await list_all(client, TOPOLOGIES)] == ["racks"]
            classes = {one["metadata"]["name"] for one in await list_all(client, PRIORITY_CLASSES)}
            assert {"train", "build", "inference"} <= classes
            path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
            assert (await client.get_object(path))["items"] == []
        # What was left belongs to the same release, so that it can come back.
        run(kubeconfig, "install", "kai-py", str(CHART), values=values)


async def test_an_upgrade_keeps_the_certificate_and_whom_the_api_server_trusts(tmp_path: Path) -> None:
    helm()
    binaries = assets()
    if binaries is None:
        pytest.skip("KUBEBUILDER_ASSETS does not name a folder with etcd and kube-apiserver")
    with control_plane(binaries, tmp_path) as kubeconfig:
        run(kubeconfig, "install", "kai-py", str(CHART), "--create-namespace")
        async with await connect(str(kubeconfig)) as client:
            name = "kai-py-webhooks"
            pair = await make(["127.0.0.1"])
            secret = SECRETS.path(NAMESPACE, name)
            data = {BUNDLE: base64.b64encode(pair.bundle).decode()}
            await client.patch(secret, {"data": data})
            assert await trust(client, name, pair.bundle)
            values: Json = {"webhooks": {"timeoutSeconds": 7}, "commonLabels": {"changed": "yes"}}
            run(kubeconfig, "upgrade", "kai-py", str(CHART), "--no-hooks", values=values)
            after = await client.get_object(secret)
            assert (after["metadata"]["labels"]["changed"], after["data"]) == ("yes", data)
            found = (await client.get_object(CONFIGURATIONS.path("", name)))["webhooks"]
            assert {(one["timeoutSeconds"], one["clientConfig"]["caBundle"]) for one in found} == {(7, data[BUNDLE])}
            assert not await trust(client, name, pair.bundle)
