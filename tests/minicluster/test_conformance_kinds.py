"""Custom kinds, claims, workloads and priorities, on the embedded server and on a real one."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from .conftest import Api


def crd(group: str, **version: Any) -> dict[str, Any]:
    spec = {
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 1},
            "colour": {"type": "string", "enum": ["red", "blue"], "default": "red"},
            "parts": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"],
                          "properties": {"name": {"type": "string"}, "count": {"type": "integer", "default": 1}}},
            },
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }  # fmt: skip
    schema = {"type": "object", "properties": {"spec": spec, "status": {"type": "object", "properties": {
        "phase": {"type": "string"}, "replicas": {"type": "integer"}}}}}  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                {
                    "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                    **version,
                }
            ],
        },
    }  # fmt: skip


@pytest.fixture
async def widgets(api: Api) -> str:
    """The path of a custom kind's objects."""
    group = f"g{secrets.token_hex(4)}.example.com"
    reply = await api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd(group))
    assert reply.status == 201, reply.body
    path = f"{api.in_group(f'{group}/v1')}/widgets"
    for _ in range(200):
        if (await api.get(path)).status == 200:
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.05)
    return path


def widget(path: str, name: str = "w", **spec: Any) -> dict[str, Any]:
    group_version = "/".join(path.split("/")[2:4])
    return {"apiVersion": group_version, "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 1, **spec}}


async def test_custom_objects_are_defaulted_and_pruned(api: Api, widgets: str) -> None:
    body = widget(widgets, parts=[{"name": "a"}], free={"any": {"thing": 1}}, unknown=5) | {"status": {"phase": "x"}}
    reply = await api.post(widgets, body)
    assert reply.status == 201
    assert reply.headers["Warning"] == '299 - "unknown field \\"spec.unknown\\""'
    assert reply.body["spec"] == {
        "size": 1, "colour": "red", "parts": [{"name": "a", "count": 1}], "free": {"any": {"thing": 1}},
    }  # fmt: skip
    assert "status" not in reply.body
    assert reply.body["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"size": 0}, "spec.size"),
        ({"size": "big"}, "spec.size"),
        ({"size": None}, "spec.size"),
        ({"colour": "green"}, "spec.colour"),
        ({"parts": [{"count": 1}]}, "spec.parts[0].name"),
        ({"parts": [{"name": "a"}, {"name": "a"}]}, "spec.parts[1]"),
    ],
)
async def test_custom_objects_are_validated(api: Api, widgets: str, spec: dict[str, Any], field: str) -> None:
    reply = await api.post(widgets, widget(widgets, **spec))
    assert (reply.status, reply.reason) == (422, "Invalid"), reply.body
    assert field in reply.fields


async def test_custom_status_is_apart_from_the_spec(api: Api, widgets: str) -> None:
    made = (await api.post(widgets, widget(widgets))).body
    status = await api.merge(f"{widgets}/w/status", {"status": {"phase": "Ready"}, "spec": {"size": 9}})
    assert (status.body["status"], status.body["spec"]["size"]) == ({"phase": "Ready"}, 1)
    assert status.body["metadata"]["generation"] == 1
    main = await api.merge(f"{widgets}/w", {"status": {"phase": "Lost"}, "spec": {"size": 2}})
    assert (main.body["status"], main.body["spec"]["size"]) == ({"phase": "Ready"}, 2)
    assert main.body["metadata"]["generation"] == 2
    labels = await api.merge(f"{widgets}/w", {"metadata": {"labels": {"a": "b"}}})
    assert labels.body["metadata"]["generation"] == 2
    del made["metadata"]["resourceVersion"]
    unconditional = await api.put(f"{widgets}/w", made)
    assert (unconditional.status, unconditional.fields) == (422, ["metadata.resourceVersion"])


async def test_custom_objects_take_no_strategic_patch(api: Api, widgets: str) -> None:
    await api.post(widgets, widget(widgets))
    assert (await api.strategic(f"{widgets}/w", {"spec": {"size": 3}})).status == 415


async def test_custom_objects_are_applied_by_their_list_keys(api: Api, widgets: str) -> None:
    await api.apply(f"{widgets}/w", widget(widgets, parts=[{"name": "a", "count": 2}]))
    reply = await api.apply(f"{widgets}/w", widget(widgets, parts=[{"name": "b", "count": 3}]), manager="other")
    assert [(part["name"], part["count"]) for part in reply.body["spec"]["parts"]] == [("a", 2), ("b", 3)]
    reply = await api.apply(f"{widgets}/w", widget(widgets))
    assert [part["name"] for part in reply.body["spec"]["parts"]] == ["b"]


async def test_custom_columns_are_printed(api: Api, widgets: str) -> None:
    await api.post(widgets, widget(widgets, size=4))
    table = (await api.get(widgets, Accept="application/json;as=Table;g=meta.k8s.io;v=v1")).body
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size"]
    assert table["rows"][0]["cells"] == ["w", 4]


async def test_custom_kinds_are_discovered(api: Api, widgets: str) -> None:
    group_version = "/".join(widgets.split("/")[2:4])
    listed = (await api.get(f"/apis/{group_version}")).body["resources"]
    assert {entry["name"]: entry["kind"] for entry in listed} == {"widgets": "Widget", "widgets/status": "Widget"}
    assert next(entry for entry in listed if entry["name"] == "widgets")["shortNames"] == ["wd"]


async def test_a_bad_definition_is_invalid(api: Api) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    wrong_name = crd("a.example.com")
    wrong_name["metadata"]["name"] = "others.a.example.com"
    untyped = crd("b.example.com", schema={"openAPIV3Schema": {"type": "object", "properties": {"spec": {}}}})
    schemaless = crd("c.example.com", schema=None)
    for body in (wrong_name, untyped, schemaless):
        reply = await api.post(path, body)
        assert (reply.status, reply.reason) == (422, "Invalid")


CLAIM = {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}}}


def claim(name: str = "c") -> dict[str, Any]:
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name}, **CLAIM}


def allocation(device: str = "d0", request: str = "gpu") -> dict[str, Any]:
    return {"devices": {"results": [{"request": request, "driver": "gpu.example.com", "pool": "p", "device": device}]}}


def consumer(i: int = 0) -> dict[str, str]:
    return {"resource": "pods", "name": f"p{i}", "uid": f"u{i}"}


async def test_a_claim_is_defaulted_and_its_spec_stays(api: Api) -> None:
    path = f"{api.in_group('resource.k8s.io/v1')}/resourceclaims"
    made = await api.post(path, claim())
    exactly = made.body["spec"]["devices"]["requests"][0]["exactly"]
    assert (made.status, exactly) == (
        201,
        {"deviceClassName": "gpu.example.com", "allocationMode": "ExactCount", "count": 1},
    )
    reply = await api.json_patch(
        f"{path}/c", [{"op": "replace", "path": "/spec/devices/requests/0/exactly/count", "value": 2}]
    )
    assert (reply.status, reply.fields) == (422, ["spec"])


@pytest.mark.parametrize(
    "devices",
    [
        {"requests": [{"name": "gpu"}]},
        {"requests": [{"name": "G", "exactly": {"deviceClassName": "a"}}]},
        {"requests": [{"name": "g", "exactly": {"deviceClassName": ""}}]},
        {"requests": [{"name": "g", "exactly": {"deviceClassName": "a", "count": -1}}]},
        {"requests": [{"name": "g", "exactly": {"deviceClassName": "a", "allocationMode": "All", "count": 1}}]},
        {"requests": [{"name": "g", "exactly": {"deviceClassName": "a", "allocationMode": "Some"}}]},
        {"requests": [{"name": "g", "exactly": {"deviceClassName": "a", "selectors": [{}]}}]},
        {"requests": [{"name": "g", "exactly": {"deviceClassName": "a"}}] * 2},
        {"requests": [{"name": "g", "exactly": {"deviceClassName": "a"}}], "constraints": [{"requests": ["g"]}]},
        {"requests": [{"name": "g", "exactly": {"deviceClassName": "a"}}], "constraints": [
            {"requests": ["h"], "matchAttribute": "a.b/c"}]},
        {"requests": [{"name": "g", "exactly": {"deviceClassName": "a"}}], "config": [{}]},
    ],
)  # fmt: skip
async def test_an_invalid_claim_is_refused(api: Api, devices: dict[str, Any]) -> None:
    body = claim() | {"spec": {"devices": devices}}
    reply = await api.post(f"{api.in_group('resource.k8s.io/v1')}/resourceclaims", body)
    assert (reply.status, reply.reason) == (422, "Invalid"), reply.body


async def test_reserving_needs_an_allocation_that_then_stays(api: Api) -> None:
    path = f"{api.in_group('resource.k8s.io/v1')}/resourceclaims"
    made = (await api.post(path, claim())).body
    status = f"{path}/c/status"

    async def write(**fields: Any) -> Any:
        current = (await api.get(f"{path}/c")).body
        return await api.put(status, current | {"status": fields})

    early = await write(reservedFor=[consumer()])
    assert (early.status, early.fields) == (422, ["status.reservedFor"])
    unknown = await write(allocation=allocation(request="nic"))
    assert (unknown.status, unknown.fields) == (422, ["status.allocation.devices.results[0].request"])
    assert (await write(allocation=allocation(), reservedFor=[consumer()])).status == 200
    moved = await write(allocation=allocation("d1"), reservedFor=[consumer()])
    assert (moved.status, moved.fields) == (422, ["status.allocation"])
    doubled = await write(allocation=allocation(), reservedFor=[consumer(), consumer()])
    assert doubled.status == 422
    assert (await write(allocation=allocation(), reservedFor=[consumer(i) for i in range(256)])).status == 200
    assert (await write(allocation=allocation(), reservedFor=[consumer(i) for i in range(257)])).status == 422
    removal = {
        "metadata": {"uid": made["metadata"]["uid"]},
        "status": {"reservedFor": [{"$patch": "delete", "uid": "u0"}]},
    }
    reply = await api.strategic(status, removal)
    assert (reply.status, len(reply.body["status"]["reservedFor"])) == (200, 255)
    assert (await write()).status == 200
    stale = await api.put(status, made | {"status": {"allocation": allocation()}})
    assert stale.status == 409


async def test_a_deleting_claim_takes_no_new_consumer(api: Api) -> None:
    path = f"{api.in_group('resource.k8s.io/v1')}/resourceclaims"
    body = claim()
    body["metadata"]["finalizers"] = ["resource.kubernetes.io/delete-protection"]
    await api.post(path, body)
    await api.merge(f"{path}/c/status", {"status": {"allocation": allocation(), "reservedFor": [consumer(0)]}})
    await api.delete(f"{path}/c")
    more = await api.merge(f"{path}/c/status", {"status": {"reservedFor": [consumer(0), consumer(1)]}})
    assert (more.status, more.fields) == (422, ["status.reservedFor"])
    assert (await api.merge(f"{path}/c/status", {"status": {"reservedFor": None}})).status == 200
    await api.merge(f"{path}/c", {"metadata": {"finalizers": None}})
    assert (await api.get(f"{path}/c")).status == 404


def slice_of(name: str, **spec: Any) -> dict[str, Any]:
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    base = {"driver": "gpu.example.com", "pool": pool, "nodeName": "n", "devices": [{"name": "d0"}]}
    return {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": name},
        "spec": {key: value for key, value in (base | spec).items() if value is not None},
    }  # fmt: skip


async def test_slices_are_validated_and_selectable(api: Api) -> None:
    path, name = "/apis/resource.k8s.io/v1/resourceslices", f"s-{api.namespace}"
    driver = f"{api.namespace}.example.com"
    assert (await api.post(path, slice_of(name, driver=driver))).status == 201
    listed = (await api.get(f"{path}?fieldSelector=spec.driver={driver}")).body["items"]
    assert [item["metadata"]["name"] for item in listed] == [name]
    moved = await api.merge(f"{path}/{name}", {"spec": {"nodeName": "m"}})
    assert (moved.status, moved.fields) == (422, ["spec.nodeName"])
    bad: list[dict[str, Any]] = [
        {"nodeName": None}, {"allNodes": True}, {"devices": [{"name": "d"}] * 2}, {"devices": [{"name": "D"}]},
        {"devices": [{"name": f"d{i}"} for i in range(129)]}, {"pool": {"name": "p", "generation": 1}},
        {"devices": [{"name": "d", "attributes": {"bad-name": {"bool": True}}}]},
        {"devices": [{"name": "d", "attributes": {"v": {"version": "1.x"}}}]},
        {"devices": [{"name": "d", "attributes": {"v": {"bool": True, "int": 1}}}]},
    ]  # fmt: skip
    for spec in bad:
        reply = await api.post(path, slice_of(f"{name}-bad", **spec))
        assert (reply.status, reply.reason) == (422, "Invalid"), spec


async def test_priority_classes_keep_their_value(api: Api) -> None:
    path, name = "/apis/scheduling.k8s.io/v1/priorityclasses", f"high-{api.namespace}"
    made = await api.post(path, {"metadata": {"name": name}, "value": 100})
    assert (made.status, made.body["preemptionPolicy"]) == (201, "PreemptLowerPriority")
    assert (await api.merge(f"{path}/{name}", {"value": 5})).status == 422
    assert (await api.post(path, {"metadata": {"name": f"system-{name}"}, "value": 1})).status == 422
    assert (await api.post(path, {"metadata": {"name": f"x-{name}"}, "value": 2_000_000_000})).status == 422


def job(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "img:1"}]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": template, **spec}}


async def test_a_job_is_defaulted_and_selects_its_pods(api: Api) -> None:
    path = f"{api.in_group('batch/v1')}/jobs"
    made = (await api.post(path, job())).body
    spec, uid = made["spec"], made["metadata"]["uid"]
    wanted = {
        "parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed", "manualSelector": False,
    }  # fmt: skip
    assert {key: spec[key] for key in wanted} == wanted
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert spec["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": uid,
        "job-name": "j",
    }  # fmt: skip
    assert made["status"] == {}
    assert (await api.merge(f"{path}/j", {"spec": {"completions": 3}})).status == 422
    assert (await api.merge(f"{path}/j", {"spec": {"parallelism": 3}})).status == 200
    assert (await api.merge(f"{path}/j", {"spec": {"suspend": True}})).status == 200
    assert (await api.post(path, job(parallelism=-1))).status == 422
    always = job()
    always["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    assert (await api.post(path, always)).status == 422


async def test_replicas_are_read_and_written_through_scale(api: Api) -> None:
    path = f"{api.in_group('apps/v1')}/replicasets"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {"metadata": {"name": "r"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    assert (await api.post(path, body)).status == 201
    scale = (await api.get(f"{path}/r/scale")).body
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 1})
    assert scale["status"] == {"replicas": 0, "selector": "a=b"}
    written = await api.put(f"{path}/r/scale", scale | {"spec": {"replicas": 4}})
    assert (written.status, written.body["spec"]["replicas"]) == (200, 4)
    assert (await api.get(f"{path}/r")).body["spec"]["replicas"] == 4
    unfit = body | {"metadata": {"name": "u"}, "spec": body["spec"] | {"selector": {"matchLabels": {"x": "y"}}}}
    assert (await api.post(path, unfit)).status == 422


async def test_a_node_is_created_not_ready(api: Api) -> None:
    name = f"n-{api.namespace}"
    body = {"metadata": {"name": name}, "status": {"capacity": {"cpu": "4000m", "nvidia.com/gpu": "8"}}}
    node = (await api.post("/api/v1/nodes", body)).body
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    assert node["status"]["capacity"] == node["status"]["allocatable"] == {"cpu": "4", "nvidia.com/gpu": "8"}
    assert (await api.merge(f"/api/v1/nodes/{name}", {"status": {"phase": "x"}})).status == 200
    bad = await api.merge(f"/api/v1/nodes/{name}", {"spec": {"taints": [{"key": "a", "effect": "Maybe"}]}})
    assert bad.status == 422
    await api.delete(f"/api/v1/nodes/{name}")


async def test_a_lease_is_created_and_renewed(api: Api) -> None:
    path = f"{api.in_group('coordination.k8s.io/v1')}/leases"
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
    lease = (await api.post(path, {"metadata": {"name": "l"}, "spec": spec})).body
    first = await api.put(f"{path}/l", lease | {"spec": spec | {"leaseTransitions": 1}})
    second = await api.put(f"{path}/l", lease | {"spec": spec | {"holderIdentity": "b"}})
    assert (first.status, second.status) == (200, 409)
    bad = await api.post(path, {"metadata": {"name": "m"}, "spec": {"leaseDurationSeconds": 0}})
    assert bad.status == 422


async def test_access_reviews_say_yes(api: Api) -> None:
    attributes = {"verb": "create", "resource": "pods", "namespace": api.namespace}
    review: dict[str, Any] = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    review["spec"] = {"resourceAttributes": attributes}
    reply = await api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    assert (reply.status, reply.body["status"]["allowed"]) == (201, True)
