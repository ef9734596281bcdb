"""Tokens that change under a running leader, and pods whose every field must stay as it is."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path

import yaml

from kai_py.operators.kinds import PODS, RUNTIMES
from kai_py.operators.run import RunConfig

from .harness import Cluster
from .proxy import Proxy
from .schedulers import scheduler


async def test_a_leader_goes_on_when_its_token_is_rotated(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    async with Proxy(cluster.kubeconfig, tmp_path / "kubeconfig.proxy").running() as proxy:
        file = tmp_path / "token"
        document = yaml.safe_load(proxy.kubeconfig.read_text())
        document["users"][0]["user"] = {"tokenFile": str(file)}
        proxy.kubeconfig.write_text(yaml.safe_dump(document))
        proxy.token = "first"
        file.write_text("first")
        config = RunConfig(kubeconfig=str(proxy.kubeconfig), lease=("default", f"lease-{cluster.namespace}"))
        with scheduler(tmp_path / "log", config) as leader:
            await leader.until_said("leading")
            for number in range(3):
                file.write_text(f"token-{number}\n")
                proxy.token = f"token-{number}"
                proxy.break_watches()
                await cluster.pod(f"pod-{number}")
                await cluster.until_bound(f"pod-{number}")
                await asyncio.sleep(1.0)
            assert not leader.has_said("no longer leading")


async def test_a_binding_changes_nothing_of_a_pod_but_its_node(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    runtime = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": f"kata-{cluster.namespace}"},
    }
    await cluster.create(RUNTIMES.path(), {**runtime, "handler": "kata", "overhead": {"podFixed": {"cpu": "250m"}}})
    token = {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}}
    mount = {"name": "identity", "mountPath": "/var/run/identity", "readOnly": True}
    before = await cluster.pod(
        "guarded",
        serviceAccountName="default",
        runtimeClassName=f"kata-{cluster.namespace}",
        volumes=[{"name": "identity", "projected": {"sources": [token]}}],
        initContainers=[
            {
                "name": "proxy",
                "image": "example.com/proxy:1",
                "restartPolicy": "Always",
                "volumeMounts": [mount],
                "resources": {"requests": {"cpu": "100m"}},
            }
        ],
        securityContext={"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        schedulingGates=[{"name": "example.com/hold"}],
        terminationGracePeriodSeconds=7,
        hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a"]}],
    )
    path = PODS.path(cluster.namespace, "guarded")
    await cluster.client.patch(path, {"spec": {"schedulingGates": None}})
    before = await cluster.client.get_object(path)
    async with cluster.scheduler():
        await cluster.until_bound("guarded")
    after = await cluster.client.get_object(path)
    expected = copy.deepcopy(before["spec"])
    expected["nodeName"] = "node-0"
    assert after["spec"] == expected
    for field in ("labels", "annotations", "ownerReferences", "finalizers"):
        assert after["metadata"].get(field) == before["metadata"].get(field)
