"""Clients that others rely on: kubernetes_asyncio, kopf, and HTTPS."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import kopf
import pytest
from kubernetes_asyncio import client, config, watch

from kai_py.minicluster import MiniCluster

from .conftest import binding, client_session, pod
from .test_minicluster_storage import comes


async def test_kubernetes_asyncio_creates_binds_and_watches(cluster: MiniCluster) -> None:
    await config.load_kube_config_from_dict(cluster.kubeconfig())
    async with client.ApiClient() as api:
        core = client.CoreV1Api(api)
        created = await core.create_namespaced_pod("default", pod())
        await core.create_namespaced_pod_binding("p", "default", binding("p", "n"), _preload_content=False)
        listed = await core.list_namespaced_pod("default", field_selector="spec.nodeName=n")
        version = created.metadata.resource_version
        async with watch.Watch().stream(core.list_namespaced_pod, "default", resource_version=version) as events:
            event = await anext(events)
    assert [item.metadata.name for item in listed.items] == ["p"]
    assert (event["type"], event["object"].spec.node_name) == ("MODIFIED", "n")


DEFINITION = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        ],
    },
}


async def test_a_kopf_operator_runs_against_it(cluster: MiniCluster) -> None:
    storage = cluster.storage
    storage.create("customresourcedefinitions.apiextensions.k8s.io", DEFINITION)
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def log_in(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=cluster.url)

    @kopf.on.create("example.com", "v1", "widgets", registry=registry)
    async def greet(spec: Any, patch: kopf.Patch, **_: Any) -> None:
        patch.status["greeting"] = f"hello {spec['to']}"

    stop = asyncio.Event()
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    operator = asyncio.create_task(
        kopf.operator(registry=registry, settings=settings, namespaces=["default"], stop_flag=stop, standalone=True)
    )
    widget = {"metadata": {"name": "w"}, "spec": {"to": "you"}}
    storage.create("widgets.example.com", widget, "default")
    greeting = lambda: storage.get("widgets.example.com", "w", "default").get("status", {}).get("greeting")  # noqa: E731
    assert await comes(lambda: greeting() == "hello you")
    stop.set()
    await asyncio.wait_for(operator, 10)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for loopback, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH: no certificate to serve with")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "1", "-subj", "/CN=mini"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


async def test_it_serves_https_with_a_given_certificate(certificate: tuple[Path, Path]) -> None:
    async with (
        MiniCluster(certificate=certificate[0], key=certificate[1]) as cluster,
        client_session() as session,
    ):
        trust = ssl.create_default_context(
            cafile=cluster.kubeconfig()["clusters"][0]["cluster"]["certificate-authority"]
        )
        async with session.get(f"{cluster.url}/readyz", ssl=trust) as response:
            assert (cluster.url[:5], await response.text()) == ("https", "ok")
