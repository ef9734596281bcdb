"""Whether the devices of a claim are ready for a pod to be bound (KEP-5007)."""

from __future__ import annotations

from dataclasses import dataclass

from kai_py.api.resource import AllocatedDevice, ResourceClaim
from kai_py.api.selectors import Condition
from kai_py.cluster.encode.times import seconds


@dataclass(frozen=True)
class Preparation:
    """How far the devices of a claim are.

    Attributes:
        missing: the first condition that is not true yet, and of which device; empty if all are.
        failed: what has gone wrong, so that waiting does not help; empty if nothing has.
    """

    missing: str = ""
    failed: str = ""


READY = Preparation()


def preparation(claim: ResourceClaim, now: float, timeout: float) -> Preparation:
    """How far the devices of a claim are.

    Args:
        claim: with an allocation.
        now: seconds since the epoch.
        timeout: seconds after the allocation when waiting is over.
    """
    allocation = claim.status.allocation
    if allocation is None:
        return Preparation(failed="it has no devices any more")
    missing = ""
    for result in allocation.devices.results:
        if not result.binding_conditions:
            continue
        device = f"{result.driver}/{result.pool}/{result.device}"
        conditions = _conditions(claim, result)
        for name in result.binding_failure_conditions:
            if (found := conditions.get(name)) is not None and found.status == "True":
                said = f": {found.message}" if found.message else ""
                return Preparation(failed=f"device {device} reports {name}{said}")
        for name in result.binding_conditions:
            found = conditions.get(name)
            if not missing and (found is None or found.status != "True"):
                missing = f"{name} of device {device}"
    if missing and now - seconds(allocation.allocation_timestamp) > timeout:
        return Preparation(failed=f"{missing} was not reported within {timeout:.0f} s")
    return Preparation(missing) if missing else READY


def _conditions(claim: ResourceClaim, result: AllocatedDevice) -> dict[str, Condition]:
    """What the driver says about a device."""
    name = result.driver, result.pool, result.device, result.share_id
    for device in claim.status.devices:
        if (device.driver, device.pool, device.device, device.share_id) == name:
            return {condition.type: condition for condition in device.conditions}
    return {}
