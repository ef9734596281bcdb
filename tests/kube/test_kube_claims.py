"""What is sent about claims: the version that was seen, and nothing that our structs might have lost."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_server import ScriptedServer, Waits, ok, refusal

from kai_py.api.meta import ObjectMeta
from kai_py.api.resource import (
    AllocatedConfiguration,
    AllocatedDevice,
    Allocation,
    Consumer,
    DeviceAllocation,
    OpaqueConfiguration,
    ResourceClaim,
    ResourceClaimStatus,
)
from kai_py.errors import ApiError, ConflictError, ForbiddenError, InvalidError
from kai_py.kube.claims import is_permission
from kai_py.kube.client import ApiClient
from kai_py.kube.writer import Writer

PATH = "/apis/resource.k8s.io/v1/namespaces/ns/resourceclaims/c"
SEEN = {"uid": "u", "resourceVersion": "7"}
ONE, TWO = Consumer("pods", "one", "uid-1"), Consumer("pods", "two", "uid-2")
AS_SENT = [{"resource": "pods", "name": name, "uid": uid} for name, uid in (("one", "uid-1"), ("two", "uid-2"))]
DEVICES = DeviceAllocation(
    (AllocatedDevice("r", "d", "p", "x"),),
    (AllocatedConfiguration(OpaqueConfiguration("d", {"a": None}), source="FromClaim"),),
)
ALLOCATION = Allocation(DEVICES, allocation_timestamp="2026-05-04T03:02:01Z")


@pytest.fixture
def writer(client: ApiClient, waits: Waits) -> Writer:
    return Writer(client, lambda: None, sleep=waits)


def claim(*consumers: Consumer, finalizers: tuple[str, ...] = ("f",)) -> ResourceClaim:
    meta = ObjectMeta("c", "ns", "u", "7", finalizers=finalizers)
    return ResourceClaim(meta, status=ResourceClaimStatus(reserved_for=consumers))


def answer(version: str = "8") -> Any:
    return ok({"metadata": {"name": "c", "namespace": "ns", "uid": "u", "resourceVersion": version}})


async def test_protection_adds_to_the_finalizers_and_says_what_the_claim_is_now(server: ScriptedServer, writer: Writer):
    server.on("PATCH", PATH, answer())
    after = await writer.claims.protect(claim(), {"k": "v"})
    finalizers = ["f", "resource.kubernetes.io/delete-protection"]
    assert server.asked[0].body == {"metadata": SEEN | {"finalizers": finalizers, "annotations": {"k": "v"}}}
    assert after.metadata.resource_version == "8"


async def test_devices_and_reservation_are_one_update_in_which_others_parameters_keep_their_nulls(
    server: ScriptedServer, writer: Writer
):
    server.on("PUT", f"{PATH}/status", answer())
    await writer.claims.allocate(claim(ONE), ALLOCATION, [TWO])
    config = {"source": "FromClaim", "opaque": {"driver": "d", "parameters": {"a": None}}}
    results = [{"request": "r", "driver": "d", "pool": "p", "device": "x"}]
    assert server.asked[0].body == {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": SEEN | {"name": "c", "namespace": "ns"},
        "status": {
            "allocation": {
                "devices": {"results": results, "config": [config]},
                "allocationTimestamp": "2026-05-04T03:02:01Z",
            },
            "reservedFor": AS_SENT,
        },
    }


async def test_a_reservation_leaves_the_devices_alone(server: ScriptedServer, writer: Writer):
    server.on("PATCH", f"{PATH}/status", answer())
    await writer.claims.reserve(claim(ONE), [TWO])
    assert server.asked[0].body == {"metadata": SEEN, "status": {"reservedFor": AS_SENT}}


async def test_giving_back_keeps_whoever_stays(server: ScriptedServer, writer: Writer):
    server.on("PATCH", f"{PATH}/status", answer(), answer())
    await writer.claims.give_back(claim(ONE, TWO), [TWO], free=False)
    await writer.claims.give_back(claim(ONE), [], free=True)
    assert server.asked[0].body["status"] == {"reservedFor": AS_SENT[1:]}
    assert server.asked[1].body["status"] == {"reservedFor": None, "allocation": None, "devices": None}


async def test_a_claim_of_another_version_is_a_conflict(server: ScriptedServer, writer: Writer):
    server.on("PATCH", f"{PATH}/status", refusal(409))
    with pytest.raises(ConflictError):
        await writer.claims.reserve(claim(), [ONE])


@pytest.mark.parametrize(
    ("error", "permission"),
    [
        (ForbiddenError("no", status=403), True),
        (
            InvalidError(
                "no",
                causes=[("FieldValueForbidden", "status.allocation", 'requires resource="resourceclaims/binding"')],
            ),
            True,
        ),
        (InvalidError("no", causes=[("FieldValueForbidden", "status.reservedFor", "may not be specified")]), False),
        (InvalidError("no", causes=[("FieldValueInvalid", "status.allocation", "field is immutable")]), False),
        (ConflictError("no"), False),
    ],
)
def test_a_missing_permission_is_told_from_a_bad_allocation(error: ApiError, permission: bool):
    assert is_permission(error) is permission
