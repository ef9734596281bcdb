"""CEL rules of custom kinds: what one server refuses, the other refuses, in the same words and at the same field."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest
import yaml

from kai_py.api.crds import render

from .conftest import Api, Reply

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def serve(api: Api, spec: dict[str, Any]) -> str:
    """Serve a kind whose ``spec`` has this schema; the path of its objects."""
    group = f"{secrets.token_hex(4)}.example.com"
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    version = {"name": "v1", "served": True, "storage": True}
    schema = {"type": "object", "properties": {"spec": {"type": "object", **spec}}}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": names,
            "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    reply = await api.post(CRDS, body)
    assert reply.status == 201, reply.body
    return await served(api, f"/apis/{group}/v1/things")


async def served(api: Api, path: str) -> str:
    for _ in range(100):
        if (await api.get(path)).status == 200:
            return path
        await asyncio.sleep(0.1)
    raise AssertionError(path)


async def ours(api: Api) -> None:
    """Our own kinds, from their definitions."""
    for text in render().values():
        crd = yaml.safe_load(text)
        reply = await api.apply(f"{CRDS}/{crd['metadata']['name']}", crd, force=True)
        assert reply.status in (200, 201), reply.body
        spec = crd["spec"]
        await served(api, f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}")


def thing(path: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": path[6:].rpartition("/")[0], "kind": "Thing", "metadata": {"name": name}, "spec": spec}


def said(reply: Reply) -> list[tuple[str, str]]:
    """Field and message of each fault."""
    assert reply.status == 422, reply.body
    return [(cause["field"], cause["message"]) for cause in reply.body["details"]["causes"]]


RULES = {
    "a number is of its declared type": (
        {"properties": {"n": {"type": "number", "x-kubernetes-validations": [{"rule": "self >= 0.0"}]}}},
        {"n": 1},
        {"n": -1},
        ("spec.n", "Invalid value: -1: failed rule: self >= 0.0"),
    ),
    "a rule of the whole": (
        {
            "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.low <= self.high", "message": "low is above high"}],
        },
        {"low": 1, "high": 1},
        {"low": 2, "high": 1},
        ("spec", "Invalid value: low is above high"),
    ),
    "a field and a reason": (
        {
            "properties": {"a": {"type": "string"}},
            "x-kubernetes-validations": [
                {"rule": "!has(self.a)", "message": "not a", "fieldPath": ".a", "reason": "FieldValueForbidden"}
            ],
        },
        {},
        {"a": "x"},
        ("spec.a", "Forbidden: not a"),
    ),
    "a message that is computed": (
        {
            "properties": {"a": {"type": "string", "maxLength": 9}},
            "x-kubernetes-validations": [{"rule": "self.a == 'x'", "messageExpression": "'not ' + self.a"}],
        },
        {"a": "x"},
        {"a": "y"},
        ("spec", "Invalid value: not y"),
    ),
    "names that the language cannot write": (
        {
            "properties": {"in": {"type": "integer"}, "a-b": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.__in__ + self.a__dash__b == 3"}],
        },
        {"in": 1, "a-b": 2},
        {"in": 1, "a-b": 1},
        ("spec", "Invalid value: failed rule: self.__in__ + self.a__dash__b == 3"),
    ),
    "entries of a map": (
        {
            "properties": {
                "m": {
                    "type": "object",
                    "maxProperties": 5,
                    "additionalProperties": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0"}]},
                }
            }
        },
        {"m": {"k": 1}},
        {"m": {"k": 0}},
        ("spec.m[k]", "Invalid value: 0: failed rule: self > 0"),
    ),
    "an error is a refusal": (
        {
            "properties": {"n": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.n != 0 && 1 / (self.n - 1) == 1", "message": "no"}],
        },
        {"n": 2},
        {"n": 1},
        ("spec", 'Invalid value: "object": … evaluating rule: no'),
    ),
}


@pytest.mark.parametrize(("spec", "good", "bad", "wanted"), RULES.values(), ids=RULES)
async def test_a_rule_holds(api: Api, spec: dict[str, Any], good: Any, bad: Any, wanted: Any) -> None:
    path = await serve(api, spec)
    assert (await api.post(path, thing(path, "good", **good))).status == 201
    ((field, message),) = said(await api.post(path, thing(path, "bad", **bad)))
    if "evaluating rule" in message:  # why, each says in its own words
        before, _, after = message.partition("division by zero" if "division" in message else "divide by zero")
        message = f"{before}…{after}"
    assert (field, message) == wanted


async def test_what_was_there_before_the_rule_may_stay_until_it_changes(api: Api) -> None:
    loose = {"properties": {"n": {"type": "integer"}, "other": {"type": "string"}}}
    path = await serve(api, loose)
    assert (await api.post(path, thing(path, "old", n=-1))).status == 201
    name = f"things.{path.split('/')[2]}"
    crd = (await api.get(f"{CRDS}/{name}")).body
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["properties"]["n"]["x-kubernetes-validations"] = [{"rule": "self > 0", "message": "too small"}]
    assert (await api.put(f"{CRDS}/{name}", crd)).status == 200
    for _ in range(100):  # until the rule holds
        if (await api.post(f"{path}?dryRun=All", thing(path, "new", n=-1))).status == 422:
            break
        await asyncio.sleep(0.1)
    assert (await api.merge(f"{path}/old", {"spec": {"other": "x"}})).status == 200
    assert said(await api.merge(f"{path}/old", {"spec": {"n": -2}})) == [("spec.n", "Invalid value: -2: too small")]


async def test_after_a_fault_of_another_kind_rules_are_not_looked_at(api: Api) -> None:
    spec = {
        "required": ["a"],
        "properties": {"a": {"type": "string"}, "n": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.n > 0", "message": "too small"}],
    }
    path = await serve(api, spec)
    found = said(await api.post(path, thing(path, "bad", n=0)))
    assert ("spec.a", "Required value") in found
    assert any("some validation rules were not checked" in message for _, message in found)


async def test_a_rule_that_is_no_expression_is_refused_with_its_definition(api: Api) -> None:
    spec = {"type": "object", "x-kubernetes-validations": [{"rule": "self.("}]}
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "odds", "singular": "odd", "kind": "Odd", "listKind": "OddList"}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "odds.example.com"},
        "spec": {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]},
    }
    reply = await api.post(CRDS, body)
    assert reply.status == 422
    (field,) = reply.fields
    assert field == (
        "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule"
        if "validation.openAPIV3Schema.properties" in field
        else "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule"
    )


def queue(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "scheduling.run.ai/v2", "kind": "Queue", "metadata": {"name": name}, "spec": spec}


async def test_our_kinds_keep_their_rules_without_anybody_who_answers_webhooks(api: Api) -> None:
    await ours(api)
    queues, suffix = "/apis/scheduling.run.ai/v2/queues", secrets.token_hex(4)
    own = f"own-{suffix}"
    assert said(await api.post(queues, queue(own, parentQueue=own))) == [
        ("spec.parentQueue", "Invalid value: a queue cannot be its own parent")
    ]
    ((field, message),) = said(await api.post(queues, queue(f"q-{suffix}", resources={"gpu": {"quota": -0.5}})))
    assert (field, message.partition(": ")[2].partition(": ")[2]) == (
        "spec.resources.gpu.quota",
        "should be -1 (unlimited) or at least 0",
    )
    both = {"minMember": 1, "minSubGroup": 1}
    group = {"apiVersion": "scheduling.run.ai/v2alpha2", "kind": "PodGroup", "metadata": {"name": "g"}, "spec": both}
    reply = await api.post(f"{api.in_group('scheduling.run.ai/v2alpha2')}/podgroups", group)
    assert said(reply) == [("spec", "Invalid value: minMember and minSubGroup exclude each other")]
    topologies = "/apis/kai.scheduler/v1alpha1/topologies"
    levels = [{"nodeLabel": "a"}, {"nodeLabel": "a"}]
    topology = {
        "apiVersion": "kai.scheduler/v1alpha1",
        "kind": "Topology",
        "metadata": {"name": f"t-{suffix}"},
        "spec": {"levels": levels},
    }
    assert said(await api.post(topologies, topology)) == [
        ("spec.levels", "Invalid value: each nodeLabel may be a level once")
    ]
    topology["spec"] = {"levels": [{"nodeLabel": "a"}]}
    assert (await api.post(topologies, topology)).status == 201
    changed = await api.merge(f"{topologies}/t-{suffix}", {"spec": {"levels": [{"nodeLabel": "b"}]}})
    assert "levels cannot be changed" in changed.message
    assert (await api.delete(f"{topologies}/t-{suffix}")).status == 200
