"""What every API object goes through, on the embedded server and on a real one."""

from __future__ import annotations

import re

import pytest

from .conftest import Api, pod


def config(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_a_new_object_gets_what_the_server_owns(api: Api) -> None:
    reply = await api.post(f"{api.ns}/configmaps", config("a", k="v"))
    meta = reply.body["metadata"]
    assert reply.status == 201
    assert re.fullmatch(r"[0-9a-f-]{36}", meta["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", meta["creationTimestamp"])
    assert int(meta["resourceVersion"]) > 0
    assert meta["namespace"] == api.namespace


async def test_a_name_is_taken_once(api: Api) -> None:
    await api.post(f"{api.ns}/configmaps", config("a"))
    reply = await api.post(f"{api.ns}/configmaps", config("a"))
    assert (reply.status, reply.reason) == (409, "AlreadyExists")
    assert reply.message == 'configmaps "a" already exists'
    assert reply.body["details"] == {"name": "a", "kind": "configmaps"}


async def test_generate_name_makes_a_name(api: Api) -> None:
    body = {"metadata": {"generateName": "job-"}}
    names = {(await api.post(f"{api.ns}/configmaps", body)).body["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"job-[a-z0-9]{5}", name) for name in names)


@pytest.mark.parametrize("name", ["Upper", "a_b", "-a", "a-", "a" * 254])
async def test_a_bad_name_is_invalid(api: Api, name: str) -> None:
    reply = await api.post(f"{api.ns}/configmaps", config(name))
    assert (reply.status, reply.reason) == (422, "Invalid")
    assert set(reply.fields) == {"metadata.name"}


async def test_a_missing_name_is_invalid(api: Api) -> None:
    reply = await api.post(f"{api.ns}/configmaps", {"metadata": {}})
    assert (reply.status, reply.reason, reply.fields) == (422, "Invalid", ["metadata.name"])


async def test_an_object_in_a_missing_namespace_is_not_found(api: Api) -> None:
    reply = await api.post("/api/v1/namespaces/nowhere/configmaps", config("a"))
    assert (reply.status, reply.reason, reply.message) == (404, "NotFound", 'namespaces "nowhere" not found')


async def test_the_namespace_of_body_and_url_must_agree(api: Api) -> None:
    body = config("a")
    body["metadata"]["namespace"] = "other"
    reply = await api.post(f"{api.ns}/configmaps", body)
    assert (reply.status, reply.reason) == (400, "BadRequest")


async def test_the_kind_of_the_body_must_be_the_resources(api: Api) -> None:
    reply = await api.post(f"{api.ns}/configmaps", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}})
    assert (reply.status, reply.reason) == (400, "BadRequest")


async def test_a_new_object_must_not_bring_a_resource_version(api: Api) -> None:
    body = config("a")
    body["metadata"]["resourceVersion"] = "5"
    assert (await api.post(f"{api.ns}/configmaps", body)).status == 500


async def test_malformed_json_is_a_bad_request(api: Api) -> None:
    assert (await api.post(f"{api.ns}/configmaps", b'{"a":')).status == 400


async def test_a_field_of_the_wrong_type_is_a_bad_request(api: Api) -> None:
    body = config("a") | {"data": {"k": 5}}
    reply = await api.post(f"{api.ns}/configmaps", body)
    assert (reply.status, reply.reason) == (400, "BadRequest")


async def test_an_unknown_path_is_not_found(api: Api) -> None:
    for path in ("/api/v1/gadgets", "/apis/nothing.io/v1/gadgets", f"{api.ns}/pods/a/nothing", "/nothing"):
        assert (await api.get(path)).status == 404, path


async def test_a_body_of_an_unknown_type_is_refused(api: Api) -> None:
    reply = await api.call("POST", f"{api.ns}/configmaps", b"x", content="text/plain")
    assert (reply.status, reply.reason) == (415, "UnsupportedMediaType")


async def test_a_client_that_takes_no_known_type_is_refused(api: Api) -> None:
    assert (await api.get(f"{api.ns}/configmaps", Accept="text/html")).status == 406


async def test_yaml_is_read(api: Api) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: why\ndata: {when: '2020-01-01'}\n"
    reply = await api.call("POST", f"{api.ns}/configmaps", text, content="application/yaml")
    assert (reply.status, reply.body["data"]) == (201, {"when": "2020-01-01"})


async def test_a_stale_update_conflicts(api: Api) -> None:
    first = (await api.post(f"{api.ns}/configmaps", config("a", k="1"))).body
    await api.put(f"{api.ns}/configmaps/a", first | {"data": {"k": "2"}})
    reply = await api.put(f"{api.ns}/configmaps/a", first | {"data": {"k": "3"}})
    assert (reply.status, reply.reason) == (409, "Conflict")
    assert "the object has been modified" in reply.message


async def test_an_update_for_another_uid_conflicts(api: Api) -> None:
    first = (await api.post(f"{api.ns}/configmaps", config("a"))).body
    first["metadata"] |= {"uid": "00000000-0000-0000-0000-000000000000"}
    assert (await api.put(f"{api.ns}/configmaps/a", first)).status == 409


async def test_an_update_that_changes_nothing_keeps_the_version(api: Api) -> None:
    first = (await api.post(f"{api.ns}/configmaps", config("a", k="1"))).body
    again = (await api.put(f"{api.ns}/configmaps/a", config("a", k="1"))).body
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_an_update_of_nothing_is_not_found(api: Api) -> None:
    assert (await api.put(f"{api.ns}/pods/a", pod("a"))).status in (404, 409)
    assert (await api.merge(f"{api.ns}/configmaps/a", {})).status == 404


async def test_the_name_in_the_body_must_be_that_of_the_url(api: Api) -> None:
    await api.post(f"{api.ns}/configmaps", config("a"))
    assert (await api.put(f"{api.ns}/configmaps/a", config("b"))).status == 400


async def test_labels_and_annotations_are_checked(api: Api) -> None:
    body = config("a")
    body["metadata"] |= {"labels": {"a b": "x", "ok": "not ok!"}, "annotations": {"bad key": "x"}}
    reply = await api.post(f"{api.ns}/configmaps", body)
    assert reply.status == 422
    assert sorted(set(reply.fields)) == ["metadata.annotations", "metadata.labels"]


async def test_immutable_metadata_cannot_be_changed(api: Api) -> None:
    await api.post(f"{api.ns}/configmaps", config("a"))
    patch = {"metadata": {"creationTimestamp": "2000-01-01T00:00:00Z"}}
    reply = await api.merge(f"{api.ns}/configmaps/a", patch)
    assert reply.status in (200, 422)
    stored = (await api.get(f"{api.ns}/configmaps/a")).body
    assert not stored["metadata"]["creationTimestamp"].startswith("2000")


async def test_a_delete_answers_with_a_status(api: Api) -> None:
    made = (await api.post(f"{api.ns}/configmaps", config("a"))).body
    reply = await api.delete(f"{api.ns}/configmaps/a")
    assert (reply.status, reply.body["kind"], reply.body["status"]) == (200, "Status", "Success")
    assert reply.body["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (await api.delete(f"{api.ns}/configmaps/a")).status == 404


async def test_delete_preconditions_hold_or_conflict(api: Api) -> None:
    made = (await api.post(f"{api.ns}/configmaps", config("a"))).body["metadata"]
    wrong_uid = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
    wrong_version = {"preconditions": {"resourceVersion": "1"}}
    for body in (wrong_uid, wrong_version):
        reply = await api.delete(f"{api.ns}/configmaps/a", body)
        assert (reply.status, reply.reason) == (409, "Conflict")
    right = {"preconditions": {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}}
    assert (await api.delete(f"{api.ns}/configmaps/a", right)).status == 200


async def test_a_finalizer_keeps_an_object_until_it_goes(api: Api) -> None:
    body = config("a")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await api.post(f"{api.ns}/configmaps", body)
    held = await api.delete(f"{api.ns}/configmaps/a")
    assert held.status == 200
    assert held.body["metadata"]["deletionTimestamp"]
    assert held.body["metadata"]["deletionGracePeriodSeconds"] == 0
    more = await api.merge(
        f"{api.ns}/configmaps/a", {"metadata": {"finalizers": ["example.com/hold", "example.com/new"]}}
    )
    assert more.status == 422
    await api.merge(f"{api.ns}/configmaps/a", {"metadata": {"finalizers": None}})
    assert (await api.get(f"{api.ns}/configmaps/a")).status == 404


async def test_an_unqualified_finalizer_is_invalid(api: Api) -> None:
    body = config("a")
    body["metadata"]["finalizers"] = ["hold"]
    assert (await api.post(f"{api.ns}/configmaps", body)).status == 422


async def test_a_dry_run_stores_nothing(api: Api) -> None:
    reply = await api.post(f"{api.ns}/configmaps?dryRun=All", config("a"))
    assert reply.status == 201
    assert reply.body["metadata"]["uid"]
    assert (await api.get(f"{api.ns}/configmaps/a")).status == 404
    await api.post(f"{api.ns}/configmaps", config("a"))
    assert (await api.call("DELETE", f"{api.ns}/configmaps/a?dryRun=All")).status == 200
    assert (await api.get(f"{api.ns}/configmaps/a")).status == 200
    assert (await api.post(f"{api.ns}/configmaps?dryRun=Some", config("b"))).status == 422


async def test_unknown_fields_are_dropped_warned_about_or_refused(api: Api) -> None:
    body = config("a") | {"colour": "red"}
    strict = await api.post(f"{api.ns}/configmaps?fieldValidation=Strict", body)
    assert (strict.status, strict.reason) == (400, "BadRequest")
    assert 'unknown field "colour"' in strict.message
    warned = await api.post(f"{api.ns}/configmaps", body)
    assert warned.headers["Warning"] == '299 - "unknown field \\"colour\\""'
    assert "colour" not in warned.body


async def test_immutable_configuration_stays(api: Api) -> None:
    await api.post(f"{api.ns}/configmaps", config("a", k="v") | {"immutable": True})
    assert (await api.merge(f"{api.ns}/configmaps/a", {"data": {"k": "w"}})).status == 422
    assert (await api.merge(f"{api.ns}/configmaps/a", {"metadata": {"labels": {"x": "y"}}})).status == 200


async def test_secrets_take_texts_and_keep_their_type(api: Api) -> None:
    reply = await api.post(f"{api.ns}/secrets", {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    assert (reply.body["type"], reply.body["data"]) == ("Opaque", {"k": "dg=="})
    assert (await api.merge(f"{api.ns}/secrets/s", {"type": "other"})).status == 422


async def test_namespaces_that_must_live_are_forbidden_to_delete(api: Api) -> None:
    reply = await api.delete("/api/v1/namespaces/default")
    assert (reply.status, reply.reason) == (403, "Forbidden")


async def test_a_terminating_namespace_takes_nothing_new(api: Api) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": f"{api.namespace}-x"}})
    path = f"/api/v1/namespaces/{api.namespace}-x"
    held = config("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.post(f"{path}/configmaps", held)
    reply = await api.delete(path)
    assert (reply.status, reply.body["status"]["phase"]) == (200, "Terminating")
    refused = await api.post(f"{path}/configmaps", config("a"))
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert refused.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"


async def test_delete_collection_obeys_its_selector(api: Api) -> None:
    for name, colour in (("a", "red"), ("b", "blue")):
        body = config(name)
        body["metadata"]["labels"] = {"colour": colour}
        await api.post(f"{api.ns}/configmaps", body)
    reply = await api.call("DELETE", f"{api.ns}/configmaps?labelSelector=colour%3Dred")
    assert reply.status == 200
    names = [item["metadata"]["name"] for item in (await api.get(f"{api.ns}/configmaps")).body["items"]]
    assert "a" not in names
    assert "b" in names


async def test_a_verb_that_is_not_served_is_not_allowed(api: Api) -> None:
    assert (await api.put("/api/v1/namespaces", {})).status == 405
    assert (await api.post("/api/v1/configmaps", config("a"))).status == 405
