"""Doing what helm, the controllers and kubelets would do with the rendered chart on a control plane that has none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import msgspec
import yaml

from kai_py.errors import NotFoundError
from kai_py.kube.client import ApiClient
from tests.e2e.control_plane import free_ports

from .charts import CHART, NAMESPACE, Json, is_hook, one_of

APPLY = "application/apply-patch+yaml"
#: Where each kind is, of all that the chart makes.
PATHS = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "MutatingWebhookConfiguration": "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "Namespace": "/api/v1/namespaces",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Pod": "/api/v1/namespaces/{}/pods",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses",
    "Queue": "/apis/scheduling.run.ai/v2/queues",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Topology": "/apis/kai.scheduler/v1alpha1/topologies",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    "ValidatingWebhookConfiguration": "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
}
#: Kinds of the API server's own admission.
ADMISSION = {kind for kind in PATHS if kind.startswith(("Validating", "Mutating"))}
#: Kinds of the Prometheus operator and of cert-manager, which no test has.
MONITORING = {"ServiceMonitor", "PrometheusRule", "Certificate", "Issuer"}


def path_of(manifest: Json) -> str:
    """The path of an object."""
    meta = manifest["metadata"]
    return f"{PATHS[manifest['kind']].format(meta.get('namespace', ''))}/{meta['name']}"


async def apply(client: ApiClient, manifests: Iterable[Json], *, query: str = "") -> None:
    """Apply objects on the server's side, where every field is checked."""
    for manifest in manifests:
        path = f"{path_of(manifest)}?fieldManager=helm&force=true&fieldValidation=Strict{query}"
        await client.patch(path, manifest, content_type=APPLY)


def definitions() -> list[Json]:
    """The chart's CRDs."""
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((CHART / "crds").glob("*.yaml"))]


async def namespace(client: ApiClient, name: str) -> None:
    """Make a namespace if it is not there."""
    try:
        await client.get(f"/api/v1/namespaces/{name}")
    except NotFoundError:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await client.post("/api/v1/namespaces", body)


async def install(client: ApiClient, objects: list[Json], *, hooks: bool = False) -> None:
    """What `helm install` applies; kinds of other operators are left out."""
    crds = definitions()
    await apply(client, crds)
    async with asyncio.timeout(20):
        for crd in crds:
            spec = crd["spec"]
            place = spec["group"], spec["versions"][0]["name"], spec["names"]["plural"]
            while not await client.served(*place):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.05)
    for name in dict.fromkeys([NAMESPACE, *(one["metadata"].get("namespace", NAMESPACE) for one in objects)]):
        await namespace(client, name)
    await apply(client, [one for one in objects if one["kind"] not in MONITORING and (hooks or not is_hook(one))])


async def account_kubeconfig(client: ApiClient, admin: Path, account: str) -> Path:
    """A kubeconfig with a token of a service account, as its pods get one; beside the administrator's."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    body = await client.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token", request)
    return _with_token(admin, account, msgspec.json.decode(body)["status"]["token"])


def _with_token(admin: Path, account: str, token: str) -> Path:
    document = yaml.safe_load(admin.read_text(encoding="utf-8"))
    document["users"] = [{"name": "admin", "user": {"token": token}}]
    path = admin.with_name(f"{account}.kubeconfig")
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def with_ports(values: Json) -> Json:
    """Values with ports that are free on this machine."""
    metrics, probes, decisions, reviews, webhook_probes = free_ports(5)
    ports = {"metrics": metrics, "probes": probes, "decisions": decisions}
    webhooks = {**values.get("webhooks", {}), "port": reviews, "probesPort": webhook_probes}
    return {**values, **{name: {"port": port} for name, port in ports.items()}, "webhooks": webhooks}


@contextlib.asynccontextmanager
async def replica(
    objects: list[Json], kubeconfig: Path, log: Path, *, name: str = "kai-py"
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Deployment's container as a process of this machine, with the rights of an account; it ends as a pod does.

    It must end well, unless the block has killed it.
    """
    (container,) = one_of(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    arguments = [one.replace("$(POD_NAME)", log.stem) for one in container["args"]]  # as kubelets do
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kai_py", *arguments, stdout=output, stderr=output, env=environment
        )
        try:
            yield process
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(20):
                assert await process.wait() in (0, -signal.SIGKILL), f"see {log}"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
