"""helm itself installs, upgrades and uninstalls the chart on a fresh API server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from kai_py.kube.client import connect
from kai_py.kube.listing import list_all
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
