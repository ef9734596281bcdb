"""Slices, classes and claims: what is refused, and for which field, on the embedded server and on a real one."""

from __future__ import annotations

from typing import Any

import pytest

from kai_py.minicluster.devices import Offer, device_classes, equip, slices_for
from kai_py.minicluster.devices.drivers import fabric_pool, licence_pool
from kai_py.minicluster.pools import nodes
from tests.minicluster_workers.examples import EXAMPLES, documents

from .conftest import Api, Reply
from .device_cases import CLAIM_CASES, CLASS_CASES, SLICE_CASES, STATUS_CASES, exactly, result

RESOURCE = "resource.k8s.io/v1"
SLICES = f"/apis/{RESOURCE}/resourceslices"
CLASSES = f"/apis/{RESOURCE}/deviceclasses"


def a_slice(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    base = {"driver": "gpu.example.com", "pool": pool, "nodeName": "n", "devices": [{"name": "d"}]}
    said = {key: value for key, value in (base | spec).items() if value is not None}
    return {"apiVersion": RESOURCE, "kind": "ResourceSlice", "metadata": {"name": name}, "spec": said}


def refused(reply: Reply) -> list[str]:
    """The fields that a server complains about; none if it has accepted the object."""
    assert (reply.status in (200, 201)) == (not reply.fields), reply.body
    return sorted(set(reply.fields))


async def test_slices_are_refused_for_the_same_fields(api: Api) -> None:
    for number, (spec, fields) in enumerate(SLICE_CASES):
        reply = await api.post(SLICES, a_slice(f"s-{api.namespace}-{number}", spec))
        assert refused(reply) == fields, spec


async def test_claims_and_their_templates_are_refused_for_the_same_fields(api: Api) -> None:
    path = api.in_group(RESOURCE)
    for number, (devices, fields) in enumerate(CLAIM_CASES):
        meta = {"name": f"c{number}"}
        reply = await api.post(f"{path}/resourceclaims", {"metadata": meta, "spec": {"devices": devices}})
        assert refused(reply) == fields, devices
        template = {"metadata": meta, "spec": {"spec": {"devices": devices}}}
        reply = await api.post(f"{path}/resourceclaimtemplates", template)
        # What a namespace must consent to is told for the claim that it would become.
        inside = [field if field.endswith("adminAccess") else f"spec.{field}" for field in fields]
        assert refused(reply) == inside, devices


async def test_admin_access_is_given_where_the_namespace_consents(api: Api) -> None:
    label = {"resource.kubernetes.io/admin-access": "true"}
    assert (await api.merge(api.ns, {"metadata": {"labels": label}})).status == 200
    path = f"{api.in_group(RESOURCE)}/resourceclaims"
    made = await api.post(path, {"metadata": {"name": "c"}, "spec": {"devices": exactly(adminAccess=True)}})
    assert made.status == 201
    written = await api.merge(f"{path}/c/status", {"status": result(adminAccess=True)})
    assert written.status == 200


async def test_device_classes_are_refused_for_the_same_fields(api: Api) -> None:
    for number, (spec, fields) in enumerate(CLASS_CASES):
        reply = await api.post(CLASSES, {"metadata": {"name": f"k-{api.namespace}-{number}"}, "spec": spec})
        assert refused(reply) == fields, spec


async def test_allocations_are_refused_for_the_same_fields(api: Api) -> None:
    path = f"{api.in_group(RESOURCE)}/resourceclaims"
    for number, (status, fields) in enumerate(STATUS_CASES):
        claim = {"metadata": {"name": f"c{number}"}, "spec": {"devices": exactly()}}
        made = (await api.post(path, claim)).body
        reply = await api.put(f"{path}/c{number}/status", made | {"status": status})
        assert refused(reply) == fields, status


@pytest.mark.parametrize("offer", ["whole+nics", "mig", "shared", "vfio"])
async def test_what_the_drivers_publish_is_stored_as_it_is(api: Api, offer: str) -> None:
    published = [one for profile in ("h100", "l40s-inference") for one in equipped(profile, offer)]
    published += [one for pool in (fabric_pool("mini-1a", "main"), licence_pool()) for one in pool.slices()]
    for one in published:
        name = f"{api.namespace}-{one['metadata']['name']}"
        reply = await api.post(SLICES, one | {"metadata": {"name": name}})
        assert reply.status == 201, reply.body
        assert reply.body["spec"] == one["spec"]
    for driver in sorted({one["spec"]["driver"] for one in published}):
        for one in device_classes(driver):
            name = f"{api.namespace}.{one['metadata']['name']}"
            reply = await api.post(CLASSES, one | {"metadata": {"name": name}})
            assert reply.status == 201, reply.body
            assert reply.body["spec"] == one["spec"]


async def test_the_examples_are_accepted(api: Api) -> None:
    for one in documents(*(file for file in EXAMPLES if file.name >= "10")):
        group = f"apis/{one['apiVersion']}" if "/" in one["apiVersion"] else f"api/{one['apiVersion']}"
        plural = {"RuntimeClass": "runtimeclasses"}.get(one["kind"], f"{one['kind'].lower()}s")
        where = f"namespaces/{api.namespace}/{plural}" if "namespace" in one["metadata"] else plural
        metadata = {key: value for key, value in one["metadata"].items() if key != "namespace"}
        reply = await api.post(f"/{group}/{where}?fieldValidation=Strict", one | {"metadata": metadata})
        assert reply.status == 201, reply.body


def equipped(profile: str, offer: str) -> list[dict[str, Any]]:
    [node] = nodes(profile, 1)
    return slices_for(equip(node, Offer.parse(offer)))
