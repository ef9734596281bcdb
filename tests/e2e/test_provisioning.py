"""ProvisioningRequests: made for gangs that nodes would help, followed, and taken away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kai_py.errors import ApiError
from kai_py.operators import provisioning
from kai_py.operators.provisioning import REQUESTS, TEMPLATES

from .harness import Cluster, Json

CLASS = "best-effort-atomic-scale-up.autoscaling.x-k8s.io"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_SAME = [{"rule": "self == oldSelf", "message": "Value is immutable"}]
_SET = {
    "type": "object",
    "required": ["count", "podTemplateRef"],
    "properties": {
        "count": {"type": "integer", "format": "int32", "minimum": 1},
        "podTemplateRef": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
    },
}
#: What Cluster Autoscaler's definition demands of a request.
_SPEC = {
    "type": "object",
    "required": ["podSets", "provisioningClassName"],
    "properties": {
        "podSets": {
            "type": "array",
            "minItems": 1,
            "maxItems": 32,
            "items": _SET,
            "x-kubernetes-validations": _SAME,
        },
        "provisioningClassName": {"type": "string", "maxLength": 253, "x-kubernetes-validations": _SAME},
        "parameters": {
            "type": "object",
            "maxProperties": 100,
            "additionalProperties": {"type": "string", "maxLength": 255},
        },
    },
}


async def install(cluster: Cluster) -> None:
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": _SPEC, "status": status}}
    version: Json = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    version["subresources"] = {"status": {}}
    plural, kind = REQUESTS.plural, "ProvisioningRequest"
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    name = f"{plural}.{REQUESTS.group}"
    spec = {"group": REQUESTS.group, "scope": "Namespaced", "names": names, "versions": [version]}
    api = "apiextensions.k8s.io/v1"
    crd = {"apiVersion": api, "kind": "CustomResourceDefinition", "metadata": {"name": name}, "spec": spec}
    path = f"{_CRDS}/{name}?fieldManager=test&force=true"
    await cluster.client.patch(path, crd, content_type="application/apply-patch+yaml")
    await cluster.until(lambda: answers(cluster))


async def answers(cluster: Cluster) -> bool:
    try:
        await requests(cluster)
    except ApiError:  # not served yet, or the storage is being made
        return False
    return True


async def requests(cluster: Cluster) -> list[Json]:
    found: list[Json] = (await cluster.client.get_object(REQUESTS.path(cluster.namespace)))["items"]
    return found


async def one_request(cluster: Cluster) -> Json:
    async def there() -> Any:
        found = await requests(cluster)
        return found[0] if len(found) == 1 else None

    made: Json = await cluster.until(there)
    return made


async def condition(cluster: Cluster, name: str, kind: str, message: str) -> None:
    when = "2026-01-01T00:00:00Z" if kind == "Failed" else "2036-01-01T00:00:00Z"
    said = {"type": kind, "status": "True", "reason": kind, "message": message, "lastTransitionTime": when}
    await cluster.client.patch(f"{REQUESTS.path(cluster.namespace, name)}/status", {"status": {"conditions": [said]}})


async def pod_reason(cluster: Cluster, pod: str) -> str:
    for one in (await cluster.pods())[pod].get("status", {}).get("conditions", ()):
        if one["type"] == "PodScheduled":
            return str(one.get("reason", ""))
    return ""


Asking = Callable[[str], Path]


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Writes settings with a pause after failures."""
    monkeypatch.setattr(provisioning, "EVERY", 0.2)
    monkeypatch.setattr(provisioning, "GRACE", 0.5)

    def write(retry: str) -> Path:
        file = tmp_path / "settings.yaml"
        parameters = "provisioningParameters: {ValidUntilSeconds: '600'}, provisioningDelay: 0s"
        text = f"autoscaling: {{provisioningClass: {CLASS}, {parameters}, provisioningRetry: {retry}}}"
        file.write_text(text, encoding="utf-8")
        return file

    return write


async def test_nodes_are_asked_for_a_gang_and_what_becomes_of_it_is_told(cluster: Cluster, asking: Asking) -> None:
    await install(cluster)
    await cluster.nodes(1, gpus=4)
    await cluster.queue("team")
    await cluster.queue("full", quota=0, limit=4)
    async with cluster.scheduler(settings_file=asking("1h")):
        await cluster.gang("big", pods=2, gpus=4)
        await cluster.gang("over", pods=2, gpus=4, queue="full")
        made = await one_request(cluster)
        assert made["spec"]["provisioningClassName"] == CLASS
        assert made["spec"]["parameters"] == {"ValidUntilSeconds": "600"}
        ((name, count),) = [(one["podTemplateRef"]["name"], one["count"]) for one in made["spec"]["podSets"]]
        assert count == 2
        template = await cluster.client.get_object(TEMPLATES.path(cluster.namespace, name))
        asked = template["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert asked["nvidia.com/gpu"] in ("4", 4)
        assert made["metadata"]["ownerReferences"][0]["name"] == "big"

        await cluster.until(lambda: says(cluster, "big", "NodesRequested"))
        await cluster.until(lambda: reason_is(cluster, "big-0", "NodesRequested"))
        await cluster.until(lambda: reason_is(cluster, "over-0", "OverLimit"))
        await condition(cluster, made["metadata"]["name"], "Provisioned", "done")
        await cluster.until(lambda: says(cluster, "big", "NodesProvisioned"))
        assert [one["metadata"]["name"] for one in await requests(cluster)] == [made["metadata"]["name"]]

        await cluster.nodes(1, gpus=4, prefix="new")
        await cluster.until_bound("big-0", "big-1")
        await cluster.until(lambda: none_left(cluster))


async def test_a_failure_is_told_and_asked_for_again_later(cluster: Cluster, asking: Asking) -> None:
    await install(cluster)
    await cluster.nodes(1, gpus=4)
    await cluster.queue("team")
    async with cluster.scheduler(settings_file=asking("87600h")):
        await cluster.gang("big", pods=2, gpus=4)
        made = await one_request(cluster)
        await condition(cluster, made["metadata"]["name"], "Failed", "no more machines")
        await cluster.until(lambda: says(cluster, "big", "ProvisioningFailed"))
        message = await cluster.message("big-0")
        assert "no more machines" in message
        assert (await one_request(cluster))["metadata"]["uid"] == made["metadata"]["uid"]
    async with cluster.scheduler(settings_file=asking("1s")):  # another leader, who sees what there is
        await cluster.until(lambda: another(cluster, made["metadata"]["uid"]))


async def test_without_the_setting_nobody_is_asked(cluster: Cluster) -> None:
    await install(cluster)
    await cluster.nodes(1, gpus=4)
    await cluster.queue("team")
    async with cluster.scheduler():
        await cluster.gang("big", pods=2, gpus=4)
        await cluster.until(lambda: reason_is(cluster, "big-0", "Unschedulable"))
        assert await requests(cluster) == []


async def says(cluster: Cluster, podgroup: str, code: str) -> bool:
    conditions = (await cluster.podgroups())[podgroup].get("status", {}).get("schedulingConditions") or []
    return bool(conditions) and conditions[-1].get("reason") == code


async def reason_is(cluster: Cluster, pod: str, reason: str) -> bool:
    return await pod_reason(cluster, pod) == reason


async def none_left(cluster: Cluster) -> bool:
    left = (await cluster.client.get_object(TEMPLATES.path(cluster.namespace)))["items"]
    return not await requests(cluster) and not left


async def another(cluster: Cluster, uid: str) -> bool:
    found = await requests(cluster)
    return len(found) == 1 and found[0]["metadata"]["uid"] != uid
