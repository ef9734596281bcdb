"""The webhooks as the chart installs them: they are asked through its Service, and refuse with its rights alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.main import get_command

from kai_py.admission.manifests import mutating_configuration, service_client, webhook_configuration
from kai_py.cli.webhooks import app
from kai_py.errors import ApiError
from kai_py.kube.client import ApiClient, connect
from kai_py.operators.certificates import BUNDLE
from kai_py.operators.kinds import PODS, QUEUES

from .charts import EVERYTHING, NAMESPACE, VALUE_SETS, Json, of_kind, one_of, render
from .conftest import Audited
from .installing import account_kubeconfig, install, namespace, path_of, replica, with_ports
from .test_chart_rights import granted

NAME = "kai-py-webhooks"


@pytest.mark.parametrize("values", [{}, EVERYTHING, {"settings": {"schedulerNames": ["it's", "mine"]}}])
def test_the_configuration_is_what_the_program_prints(values: Json) -> None:
    found = one_of(render(values), "ValidatingWebhookConfiguration", NAME)
    names = values.get("settings", {}).get("schedulerNames", ["kai-scheduler"])
    printed = webhook_configuration(service_client(NAMESPACE, NAME), name=NAME, scheduler_names=names)
    assert found["webhooks"] == printed["webhooks"]
    changing = one_of(render(values), "MutatingWebhookConfiguration", NAME)
    printed = mutating_configuration(service_client(NAMESPACE, NAME), name=NAME, scheduler_names=names)
    assert changing["webhooks"] == printed["webhooks"]


def test_by_default_nobody_is_refused_while_nobody_answers() -> None:
    webhooks = one_of(render(), "ValidatingWebhookConfiguration", NAME)["webhooks"]
    assert {one["failurePolicy"] for one in webhooks} == {"Ignore"}
    strict = one_of(render({"webhooks": {"failurePolicy": "Fail"}}), "ValidatingWebhookConfiguration", NAME)["webhooks"]
    assert {one["failurePolicy"] for one in strict} == {"Fail"}


def test_the_program_understands_the_containers_arguments() -> None:
    assert options(render()) == {
        "settings_configmap": f"{NAMESPACE}/kai-py-settings",
        "service": f"{NAMESPACE}/{NAME}",
        "secret": f"{NAMESPACE}/{NAME}",
        "configuration": NAME,
        "cert_dir": None,
        "port": 9443,
        "probes_port": 8081,
    }
    managed = options(render(VALUE_SETS["cert-manager"]))
    assert str(managed["cert_dir"]) == "/certificate"


def options(objects: list[Json]) -> Json:
    (container,) = one_of(objects, "Deployment", NAME)["spec"]["template"]["spec"]["containers"]
    program, *arguments = container["args"]
    assert program == "webhooks"
    found = get_command(app).make_context("webhooks", arguments).params
    wanted = ("settings_configmap", "service", "secret", "configuration", "cert_dir", "port", "probes_port")
    return {name: found[name] for name in wanted}


def test_certificates_come_from_us_or_from_cert_manager_and_never_from_both() -> None:
    own, managed = render(), render(VALUE_SETS["cert-manager"])
    assert [of_kind(own, "Certificate"), len(of_kind(own, "Secret"))] == [[], 1]
    assert of_kind(managed, "Secret") == []
    certificate = one_of(managed, "Certificate", NAME)["spec"]
    assert certificate["dnsNames"] == [f"{NAME}.{NAMESPACE}.svc"]
    assert certificate["issuerRef"] == {"name": NAME, "kind": "Issuer", "group": "cert-manager.io"}
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        configuration = one_of(managed, kind, NAME)
        assert configuration["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": f"{NAMESPACE}/{NAME}"}
    (volume,) = [
        one
        for one in one_of(managed, "Deployment", NAME)["spec"]["template"]["spec"]["volumes"]
        if one["name"] == "certificate"
    ]
    assert volume["secret"]["secretName"] == certificate["secretName"]
    issuer = {"name": "ca", "kind": "ClusterIssuer", "group": "example.com"}
    theirs = render({"webhooks": {"certificates": "certManager", "issuerRef": issuer}})
    assert of_kind(theirs, "Issuer") == []
    assert one_of(theirs, "Certificate", NAME)["spec"]["issuerRef"] == issuer
    assert all(
        not {"secrets", "validatingwebhookconfigurations"} & set(rule["resources"])
        for kind in ("ClusterRole", "Role")
        for rule in one_of(managed, kind, NAME)["rules"]
    )


def test_without_webhooks_there_is_nothing_of_them() -> None:
    assert [one for one in render({"webhooks": {"enabled": False}}) if "webhooks" in one["metadata"]["name"]] == []


def test_only_the_port_of_the_reviews_is_let_in() -> None:
    policy = one_of(render({"webhooks": {"port": 9}}), "NetworkPolicy", NAME)["spec"]
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "webhooks"
    assert policy["ingress"] == [{"ports": [{"protocol": "TCP", "port": 9}]}]


@pytest.fixture
async def client(audited: Audited) -> AsyncIterator[ApiClient]:
    async with await connect(str(audited.kubeconfig)) as made:
        yield made


def own_address() -> str:
    """An address of this machine that is no loopback: endpoints may not have one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but its loopback's")
        return str(probe.getsockname()[0])


async def test_a_cycle_of_queues_is_refused_through_the_installed_configuration(
    client: ApiClient, audited: Audited, tmp_path: Path
) -> None:
    values = with_ports({"webhooks": {"timeoutSeconds": 10}, "defaultQueues": {"create": False}})
    objects = render(values)
    await install(client, objects)
    await slices(client, one_of(objects, "Service", NAME), values["webhooks"]["port"])
    account = await account_kubeconfig(client, audited.kubeconfig, NAME)
    await namespace(client, "somewhere")
    async with replica(objects, account, tmp_path / "webhooks.log", name=NAME):
        await until_asked(client)
        for name, parent in (("org", ""), ("team", "org")):
            await client.post(QUEUES.path(), queue(name, parent))
        await client.post(QUEUES.path(), queue("closed", "", allowedNamespaces={"matchLabels": {"team": "a"}}))
        with pytest.raises(ApiError, match="the parents would form a cycle: org → team → org"):
            await client.patch(QUEUES.path("", "org"), {"spec": {"parentQueue": "team"}})
        with pytest.raises(ApiError, match="there is no queue 'nowhere'"):
            await client.post(PODS.path("somewhere"), pod("lost", "nowhere"))
        with pytest.raises(ApiError, match="namespace 'somewhere' may not use queue 'closed'"):
            await client.post(PODS.path("somewhere"), pod("intruder", "closed"))
        await client.post(PODS.path("somewhere"), pod("ours", "team"))
        secret = await client.get_object(path_of(one_of(objects, "Secret", NAME)))
        for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
            trusted = await client.get_object(path_of(one_of(objects, kind, NAME)))
            assert {one["clientConfig"]["caBundle"] for one in trusted["webhooks"]} == {secret["data"][BUNDLE]}
    # Nobody answers any more: everything is let in.
    await client.patch(QUEUES.path("", "org"), {"spec": {"parentQueue": "team"}})
    await rights(audited, objects)
    for name in ("org", "team", "closed"):
        await client.delete(QUEUES.path("", name))
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "Secret"):
        await client.delete(path_of(one_of(objects, kind, NAME)))


async def rights(audited: Audited, objects: list[Json]) -> None:
    """What was asked for was granted, and what was granted was asked for."""
    requests = list(audited.requests(NAME))
    assert [request for request in requests if request[4] == 403] == []
    used = {request[:3] for request in requests}
    unused = {
        (group, resource, verb)
        for kind in ("ClusterRole", "Role")
        for (group, resource), verbs in granted(one_of(objects, kind, NAME)).items()
        for verb in verbs
        if (verb, group, resource) not in used
    }
    assert unused == set()


async def slices(client: ApiClient, service: Json, port: int) -> None:
    """What the endpoint slice controller would write if a pod of the Deployment ran here."""
    name, (offered,) = service["metadata"]["name"], service["spec"]["ports"]
    assert offered["targetPort"] == "webhooks"
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [own_address()], "conditions": {"ready": True}}],
        "ports": [{"name": offered["name"], "protocol": "TCP", "port": port}],
    }
    await client.post(f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices", body)


async def until_asked(client: ApiClient) -> None:
    """Wait until the API server asks: settings that cannot be read are refused."""
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/kai-py-settings?dryRun=All"
    async with asyncio.timeout(40):
        while True:
            try:
                await client.patch(path, {"data": {"settings.yaml": "gpuSharing: some"}})
            except ApiError as error:
                if "gpuSharing" in str(error):
                    return
                raise
            await asyncio.sleep(0.2)


def queue(name: str, parent: str, **more: object) -> Json:
    bounds = {"quota": -1, "limit": -1}
    above = {"parentQueue": parent} if parent else {}
    spec = {"resources": {"cpu": bounds, "memory": bounds, "gpu": bounds}, **above, **more}
    return {"apiVersion": QUEUES.api_version, "kind": "Queue", "metadata": {"name": name}, "spec": spec}


def pod(name: str, queue: str) -> Json:
    meta = {"name": name, "labels": {"kai.scheduler/queue": queue}}
    spec = {"schedulerName": "kai-scheduler", "containers": [{"name": "main", "image": "example.com/main:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
