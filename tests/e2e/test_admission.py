"""The webhooks in front of a real API server: what does not belong is refused at once, and nothing else is."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import yaml

from kai_py.admission.manifests import mutating_configuration, service_client, webhook_configuration
from kai_py.admission.shared_gpus import configmaps_of
from kai_py.errors import ApiError, NotFoundError
from kai_py.operators import access
from kai_py.operators.certificates import BUNDLE, CONFIGURATIONS, MUTATING, SECRETS
from kai_py.operators.kinds import CONFIG_MAPS, NAMESPACES, PODS, QUEUES
from kai_py.operators.webhooks import WebhookConfig, serve_webhooks

from .control_plane import free_ports
from .harness import UNLIMITED, Cluster, Json

NAME = "kai-py-test"


@pytest.fixture
def guarded(cluster: Cluster) -> Cluster:
    """A cluster whose API server asks webhooks."""
    if not cluster.real:
        pytest.skip("the embedded server asks no webhooks (docs/minicluster.md)")
    return cluster


def config_for(cluster: Cluster, port: int) -> WebhookConfig:
    return WebhookConfig(
        kubeconfig=str(cluster.kubeconfig),
        address="127.0.0.1",
        port=port,
        service=(cluster.namespace, "hooks"),
        hosts=("127.0.0.1",),
        secret=(cluster.namespace, "hooks"),
        configuration=NAME,
        settings_configmap=(cluster.namespace, "kai-py-settings"),
        probes_port=None,
    )


async def restricted(cluster: Cluster, folder: Path) -> Path:
    """A kubeconfig with the rights that docs/guides/access.md lists, and no others."""
    api, group = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
    look = ["get", "list", "watch"]
    everywhere = [
        {"apiGroups": ["scheduling.run.ai"], "resources": ["queues"], "verbs": look},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": look},
        {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": look[1:]},
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
            "resourceNames": [NAME],
            "verbs": ["get", "update"],
        },
        {"apiGroups": ["resource.k8s.io"], "resources": ["deviceclasses"], "verbs": ["list"]},
    ]
    here = [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["kai-py-settings"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["hooks"], "verbs": ["get", "update"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    ]
    accounts = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts"
    meta = {"name": "hooks"}
    await cluster.create(accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    subject = {"kind": "ServiceAccount", "name": "hooks", "namespace": cluster.namespace}
    for kind, path, rules in (
        ("ClusterRole", f"/apis/{api}/", everywhere),
        ("Role", f"/apis/{api}/namespaces/{cluster.namespace}/", here),
    ):
        role: Json = {"apiVersion": api, "kind": kind, "metadata": meta, "rules": rules}
        await cluster.create(f"{path}{kind.lower()}s", role)
        reference = {"apiGroup": group, "kind": kind, "name": "hooks"}
        binding = {"apiVersion": api, "kind": f"{kind}Binding", "metadata": meta, "roleRef": reference}
        await cluster.create(f"{path}{kind.lower()}bindings", {**binding, "subjects": [subject]})
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = msgspec.json.decode(await cluster.client.post(f"{accounts}/hooks/token", asked))["status"]["token"]
    document = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    document["users"][0]["user"] = {"token": token}
    file = folder / "restricted"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


@contextlib.asynccontextmanager
async def webhooks(cluster: Cluster, folder: Path) -> AsyncIterator[None]:
    """The webhooks run with no more rights than they need, and the API server trusts them."""
    (port,) = free_ports(1)
    made = webhook_configuration(
        {"url": f"https://127.0.0.1:{port}"}, name=NAME, settings=(cluster.namespace, "kai-py-settings")
    )
    changing = mutating_configuration({"url": f"https://127.0.0.1:{port}"}, name=NAME)
    for one in (*made["webhooks"], *changing["webhooks"]):
        one["timeoutSeconds"] = 10  # this machine may be busy
    await cluster.create(CONFIGURATIONS.path(), made)
    await cluster.create(MUTATING.path(), changing)
    stop, ready = asyncio.Event(), asyncio.Event()
    config = dataclasses.replace(config_for(cluster, port), kubeconfig=str(await restricted(cluster, folder)))
    serving = asyncio.create_task(serve_webhooks(config, stop=stop, ready=ready))
    try:
        async with asyncio.timeout(30):
            await ready.wait()
        await cluster.until(lambda: _asks(cluster))
        yield
    finally:
        stop.set()
        await serving


async def _asks(cluster: Cluster) -> bool:
    """Whether the API server asks us yet: settings that cannot be read are refused."""
    try:
        path = f"{CONFIG_MAPS.path(cluster.namespace)}?dryRun=All"
        await cluster.client.post(path, settings("gpuSharing: some"))
    except ApiError as error:
        return "gpuSharing" in str(error)
    return False


def settings(text: str) -> Json:
    name = {"name": "kai-py-settings"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": name, "data": {"settings.yaml": text}}


def queue(name: str, parent: str = "", **spec: object) -> Json:
    resources = dict.fromkeys(("cpu", "memory", "gpu"), UNLIMITED)
    above = {"parentQueue": parent} if parent else {}
    return {
        "apiVersion": "scheduling.run.ai/v2",
        "kind": "Queue",
        "metadata": {"name": name},
        "spec": {"resources": resources, **above, **spec},
    }


async def test_a_cycle_of_queues_and_a_forbidden_queue_are_refused(guarded: Cluster, tmp_path: Path) -> None:
    cluster = guarded
    async with webhooks(cluster, tmp_path):
        await cluster.create(QUEUES.path(), queue("org"))
        await cluster.create(QUEUES.path(), queue("team", "org"))
        with pytest.raises(ApiError, match="the parents would form a cycle: org → team → org"):
            await cluster.client.patch(QUEUES.path("", "org"), {"spec": {"parentQueue": "team"}})
        with pytest.raises(ApiError, match="queue 'org' has child queues: team"):
            await cluster.client.delete(QUEUES.path("", "org"))

        closed = {"allowedNamespaces": {"matchLabels": {"team": "a"}}}
        await cluster.create(QUEUES.path(), queue("closed", **closed))
        with pytest.raises(ApiError, match="may not use queue 'closed': it takes namespaces with team=a"):
            await cluster.pod("intruder", queue="closed")
        with pytest.raises(ApiError, match="there is no queue 'nowhere'"):
            await cluster.pod("lost", queue="nowhere")
        await cluster.client.patch(NAMESPACES.path("", cluster.namespace), {"metadata": {"labels": {"team": "a"}}})

        async def let_in() -> bool:
            try:
                await cluster.pod("member", queue="closed")
            except ApiError:
                return False
            return True

        assert await cluster.until(let_in)
        await cluster.pod("elsewhere", queue="nowhere", schedulerName="default-scheduler")
        assert {*await cluster.pods()} == {"member", "elsewhere"}


async def test_the_manifest_for_a_service_is_taken_by_the_server(guarded: Cluster) -> None:
    service = service_client("kai-scheduler", "kai-py-webhooks")
    for kind, made in (
        (CONFIGURATIONS, webhook_configuration(service, name="kai-py-dry")),
        (MUTATING, mutating_configuration(service, name="kai-py-dry")),
    ):
        answer = await guarded.client.post(f"{kind.path()}?dryRun=All&fieldValidation=Strict", made)
        taken = msgspec.json.decode(answer)
        assert [one["name"] for one in taken["webhooks"]] == [one["name"] for one in made["webhooks"]]


def sharing(name: str, *containers: Json, **annotations: str) -> Json:
    """A pod that asks for a part of a GPU, or looks at one."""
    sent = {key.replace("_", "-"): text for key, text in annotations.items()}
    made = [{"image": "example.com/main:1", **one} for one in containers or ({"name": "main"},)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"kai.scheduler/queue": "team"}, "annotations": sent},
        "spec": {"schedulerName": "kai-scheduler", "containers": made},
    }


async def test_a_pod_that_shares_a_gpu_is_prepared_for_it(guarded: Cluster, tmp_path: Path) -> None:
    cluster = guarded
    text = "{gpuSharing: reservation, gpuReservation: {runtimeClassName: ''}, admission: {visibleDevices: refuse}}"
    await cluster.create(CONFIG_MAPS.path(cluster.namespace), settings(text))
    await cluster.queue("team")
    pods = PODS.path(cluster.namespace)
    async with webhooks(cluster, tmp_path):
        variable = {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}
        beside = {"name": "beside", "env": [{"name": "A", "value": "b"}]}
        made = await cluster.create(
            pods, sharing("half", beside, {"name": "main"}, gpu_fraction="0.5", gpu_fraction_container_name="main")
        )
        prefix = made["metadata"]["annotations"]["runai/shared-gpu-configmap"]
        first, second = made["spec"]["containers"]
        assert prefix.startswith("half-")
        assert first["env"] == [{"name": "A", "value": "b"}]
        source = {"configMapKeyRef": {"name": f"{prefix}-1", "key": "NVIDIA_VISIBLE_DEVICES"}}
        assert {"name": "NVIDIA_VISIBLE_DEVICES", "valueFrom": source} in second["env"]
        assert configmaps_of(made) == (f"{prefix}-1",)

        with pytest.raises(ApiError, match=r"gpu-fraction\]: should be above 0 and at most 1, not '2'"):
            await cluster.create(pods, sharing("two", gpu_fraction="2"))
        with pytest.raises(ApiError, match="a pod does not choose the GPUs that it sees"):
            await cluster.create(pods, sharing("peek", {"name": "main", "env": [variable]}))
        with pytest.raises(ApiError, match=r"\[mps\]: needs gpu-fraction beside it"):
            await cluster.create(pods, sharing("mps", mps="true"))
        plain = await cluster.create(pods, sharing("plain"))
        assert "env" not in plain["spec"]["containers"][0]


async def test_while_nobody_answers_everything_is_let_in(guarded: Cluster, tmp_path: Path) -> None:
    cluster = guarded
    async with webhooks(cluster, tmp_path):
        secret = await cluster.client.get_object(SECRETS.path(cluster.namespace, "hooks"))
        found = await cluster.client.get_object(CONFIGURATIONS.path("", NAME))
        assert {one["clientConfig"]["caBundle"] for one in found["webhooks"]} == {secret["data"][BUNDLE]}
    await cluster.pod("lost", queue="nowhere")
    with contextlib.suppress(NotFoundError):
        await cluster.client.get_object(PODS.path(cluster.namespace, "lost"))
    assert {*await cluster.pods()} == {"lost"}
    await cluster.client.delete(SECRETS.path(cluster.namespace, "hooks"))


async def test_where_settings_say_so_a_pod_waits_until_its_namespace_may_use_the_queue(
    guarded: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = guarded
    monkeypatch.setattr(access, "REFRESH", 1.0)
    file = tmp_path / "settings.yaml"
    file.write_text("queues: {authorization: subjectAccessReview}", encoding="utf-8")
    await cluster.nodes(1)
    await cluster.queue("team")
    async with cluster.scheduler(settings_file=file):
        await cluster.pod("p")

        async def told() -> bool:
            return "may not use it. " in await cluster.message("p")

        await cluster.until(told)
        assert await cluster.places() == {}
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        api, group = "rbac.authorization.k8s.io/v1", f"system:serviceaccounts:{cluster.namespace}"
        rule = {
            "apiGroups": ["scheduling.run.ai"],
            "resources": ["queues"],
            "verbs": ["use"],
            "resourceNames": ["team"],
        }
        role: Json = {"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": "use-team"}, "rules": [rule]}
        binding: Json = {
            "apiVersion": api,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "use-team"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "use-team"},
            "subjects": [{"kind": "Group", "name": group, "apiGroup": "rbac.authorization.k8s.io"}],
        }
        await cluster.create(f"{rbac}/clusterroles", role)
        await cluster.create(f"{rbac}/clusterrolebindings", binding)
        await cluster.until_bound("p")


async def test_a_pod_in_a_closed_queue_waits_on_any_server_and_is_told_so(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.create(QUEUES.path(), queue("closed", allowedNamespaces={"matchLabels": {"team": "a"}}))
    async with cluster.scheduler():
        await cluster.pod("p", queue="closed")

        async def told() -> bool:
            return (await cluster.message("p")).endswith("[QueueNotAllowed]")

        await cluster.until(told)
        (condition,) = [
            one for one in (await cluster.pods())["p"]["status"]["conditions"] if one["type"] == "PodScheduled"
        ]
        assert condition["reason"] == "QueueNotAllowed"  # not the word that autoscalers look for
        await cluster.client.patch(NAMESPACES.path("", cluster.namespace), {"metadata": {"labels": {"team": "a"}}})
        await cluster.until_bound("p")
