"""When devices are ready for a pod to be bound."""

from __future__ import annotations

import pytest

from kai_py.api.decode import convert
from kai_py.api.resource import ResourceClaim
from kai_py.cluster.binding_conditions import preparation

AT = "2026-05-04T03:02:00Z"
NOW = 1777863720.0  # the same
DEVICE = {"driver": "d", "pool": "p", "device": "x"}


def prepared(conditions, *, wanted=("ready", "attached"), failing=("broken",), device=DEVICE):
    result = {"request": "r", **DEVICE, "bindingConditions": list(wanted), "bindingFailureConditions": list(failing)}
    said = [{"type": name, "status": status, "message": "sorry"} for name, status in conditions.items()]
    status = {
        "allocation": {"devices": {"results": [result]}, "allocationTimestamp": AT},
        "devices": [{**device, "conditions": said}],
    }
    return convert(ResourceClaim, {"metadata": {"name": "c", "namespace": "ns"}, "status": status})


@pytest.mark.parametrize(
    ("conditions", "missing", "failed"),
    [
        ({"ready": "True", "attached": "True"}, "", ""),
        ({"ready": "True"}, "attached of device d/p/x", ""),
        ({"ready": "False", "attached": "True"}, "ready of device d/p/x", ""),
        ({"ready": "True", "attached": "True", "broken": "True"}, "", "device d/p/x reports broken: sorry"),
        ({"broken": "False"}, "ready of device d/p/x", ""),
    ],
)
def test_all_conditions_must_be_true_and_no_failure(conditions, missing, failed):
    found = preparation(prepared(conditions), NOW, 600.0)
    assert (found.missing, found.failed) == (missing, failed)


def test_what_another_device_reports_does_not_count():
    said = prepared({"ready": "True", "attached": "True"}, device=DEVICE | {"device": "y"})
    assert preparation(said, NOW, 600.0).missing == "ready of device d/p/x"


def test_waiting_ends_after_a_time_counted_from_the_allocation():
    assert preparation(prepared({}), NOW + 600, 600.0).failed == ""
    assert preparation(prepared({}), NOW + 601, 600.0).failed == "ready of device d/p/x was not reported within 600 s"
    assert preparation(prepared({"ready": "True", "attached": "True"}), NOW + 601, 600.0).failed == ""


def test_devices_without_conditions_are_ready_and_a_claim_without_devices_is_lost():
    assert preparation(prepared({}, wanted=()), NOW + 9999, 600.0).failed == ""
    bare = convert(ResourceClaim, {"metadata": {"name": "c", "namespace": "ns"}})
    assert preparation(bare, NOW, 600.0).failed == "it has no devices any more"
