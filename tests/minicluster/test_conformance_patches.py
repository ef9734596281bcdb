"""The four patch languages, on the embedded server and on a real one."""

from __future__ import annotations

from typing import Any

from .conftest import Api, pod


def deployment(replicas: int = 2, image: str = "img:1", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", **({"labels": labels} if labels else {})},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "x"}},
            "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [{"name": "c", "image": image, "ports": [{"containerPort": 80}]}]},
            },
        },
    }


async def test_merge_patch_removes_with_null_and_replaces_lists(api: Api) -> None:
    body = {"metadata": {"name": "a", "labels": {"x": "1", "y": "2"}}, "data": {"k": "v"}}
    await api.post(f"{api.ns}/configmaps", body)
    reply = await api.merge(f"{api.ns}/configmaps/a", {"metadata": {"labels": {"x": None, "z": "3"}}, "data": None})
    assert reply.body["metadata"]["labels"] == {"y": "2", "z": "3"}
    assert "data" not in reply.body


async def test_json_patch_operations(api: Api) -> None:
    await api.post(f"{api.ns}/configmaps", {"metadata": {"name": "a", "annotations": {"a/b": "c"}}, "data": {"k": "v"}})
    path = f"{api.ns}/configmaps/a"
    good = [
        {"op": "test", "path": "/data/k", "value": "v"},
        {"op": "replace", "path": "/metadata/annotations/a~1b", "value": "d"},
        {"op": "move", "from": "/data/k", "path": "/data/l"},
        {"op": "add", "path": "/metadata/labels", "value": {"x": "y"}},
    ]
    reply = await api.json_patch(path, good)
    meta = reply.body["metadata"]
    assert (reply.body["data"], meta["annotations"], meta["labels"]) == ({"l": "v"}, {"a/b": "d"}, {"x": "y"})
    assert (await api.json_patch(path, [{"op": "test", "path": "/data/l", "value": "x"}])).status == 422
    assert (await api.json_patch(path, [{"op": "remove", "path": "/data/none"}])).status == 422
    assert (await api.json_patch(path, {"op": "remove"})).status == 400


async def test_strategic_patch_merges_lists_by_their_key(api: Api) -> None:
    await api.post(f"{api.in_group('apps/v1')}/deployments", deployment())
    path = f"{api.in_group('apps/v1')}/deployments/d"
    sidecar = {
        "spec": {
            "template": {"spec": {"containers": [{"name": "s", "image": "side"}, {"name": "c", "image": "img:2"}]}}
        }
    }
    reply = await api.strategic(path, sidecar)
    containers = reply.body["spec"]["template"]["spec"]["containers"]
    assert [(c["name"], c["image"]) for c in containers] == [("s", "side"), ("c", "img:2")]
    assert containers[1]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    gone = {"spec": {"template": {"spec": {"containers": [{"name": "s", "$patch": "delete"}]}}}}
    reply = await api.strategic(path, gone)
    assert [c["name"] for c in reply.body["spec"]["template"]["spec"]["containers"]] == ["c"]
    order = {
        "spec": {
            "template": {
                "spec": {
                    "$setElementOrder/containers": [{"name": "c"}, {"name": "z"}],
                    "containers": [{"name": "z", "image": "z"}],
                }
            }
        }
    }
    reply = await api.strategic(path, order)
    assert [c["name"] for c in reply.body["spec"]["template"]["spec"]["containers"]] == ["c", "z"]


async def test_strategic_patch_unites_finalizers(api: Api) -> None:
    body = {"metadata": {"name": "a", "finalizers": ["a.b/one"]}}
    await api.post(f"{api.ns}/configmaps", body)
    path = f"{api.ns}/configmaps/a"
    reply = await api.strategic(path, {"metadata": {"finalizers": ["a.b/two"]}})
    assert sorted(reply.body["metadata"]["finalizers"]) == ["a.b/one", "a.b/two"]
    reply = await api.strategic(path, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.b/one"]}})
    assert reply.body["metadata"]["finalizers"] == ["a.b/two"]
    await api.merge(path, {"metadata": {"finalizers": None}})


async def test_a_patch_with_a_stale_version_conflicts(api: Api) -> None:
    await api.post(f"{api.ns}/configmaps", {"metadata": {"name": "a"}})
    reply = await api.merge(f"{api.ns}/configmaps/a", {"metadata": {"resourceVersion": "1"}, "data": {"k": "v"}})
    assert (reply.status, reply.reason) == (409, "Conflict")


async def test_a_patch_of_an_unknown_type_is_refused(api: Api) -> None:
    await api.post(f"{api.ns}/configmaps", {"metadata": {"name": "a"}})
    reply = await api.call("PATCH", f"{api.ns}/configmaps/a", {}, content="application/json")
    assert reply.status == 415


async def test_apply_creates_then_changes(api: Api) -> None:
    path = f"{api.in_group('apps/v1')}/deployments/d"
    created = await api.apply(path, deployment())
    assert (created.status, created.body["spec"]["replicas"]) == (201, 2)
    entry = created.body["metadata"]["managedFields"][0]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("tester", "Apply", "apps/v1")
    container = entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert container == {
        ".": {},
        "f:name": {},
        "f:image": {},
        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
    }
    same = await api.apply(path, deployment())
    assert same.body["metadata"]["resourceVersion"] == created.body["metadata"]["resourceVersion"]
    changed = await api.apply(path, deployment(replicas=5))
    assert (changed.status, changed.body["spec"]["replicas"], changed.body["metadata"]["generation"]) == (200, 5, 2)


async def test_apply_removes_what_the_manager_no_longer_wants(api: Api) -> None:
    path = f"{api.in_group('apps/v1')}/deployments/d"
    await api.apply(path, deployment(a="1", b="2"))
    await api.apply(path, deployment(c="3"), manager="other", force=True)
    reply = await api.apply(path, deployment(a="1"))
    assert reply.body["metadata"]["labels"] == {"a": "1", "c": "3"}


async def test_apply_conflicts_with_other_managers_unless_forced(api: Api) -> None:
    path = f"{api.in_group('apps/v1')}/deployments/d"
    await api.apply(path, deployment(replicas=2))
    reply = await api.apply(path, deployment(replicas=3), manager="other")
    assert (reply.status, reply.reason) == (409, "Conflict")
    assert reply.message == 'Apply failed with 1 conflict: conflict with "tester": .spec.replicas'
    assert reply.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "tester"', "field": ".spec.replicas"}
    ]
    forced = await api.apply(path, deployment(replicas=3), manager="other", force=True)
    assert (forced.status, forced.body["spec"]["replicas"]) == (200, 3)
    back = await api.apply(path, deployment(replicas=2))
    assert back.status == 409


async def test_plain_writes_take_ownership(api: Api) -> None:
    path = f"{api.in_group('apps/v1')}/deployments/d"
    await api.apply(path, deployment(replicas=2))
    await api.merge(f"{path}?fieldManager=scaler", {"spec": {"replicas": 9}})
    reply = await api.apply(path, deployment(replicas=2))
    assert reply.status == 409
    assert reply.body["details"]["causes"][0]["message"].startswith('conflict with "scaler"')


async def test_apply_needs_a_manager(api: Api) -> None:
    path = f"{api.in_group('apps/v1')}/deployments/d"
    reply = await api.call("PATCH", path, deployment(), content="application/apply-patch+yaml")
    assert (reply.status, reply.fields) == (422, ["fieldManager"])


async def test_apply_of_a_pod_status(api: Api) -> None:
    await api.post(f"{api.ns}/pods", pod(resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "t"}]))
    statuses = [{"name": "gpu", "resourceClaimName": "p-gpu-abc"}]
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {"resourceClaimStatuses": statuses}}
    reply = await api.apply(f"{api.ns}/pods/p/status", body)
    assert (reply.status, reply.body["status"]["resourceClaimStatuses"]) == (200, statuses)
    assert reply.body["spec"]["containers"][0]["image"] == "img:1"
