"""Devices that take resources of their nodes (alpha): what slices say of it, and what pods are told."""

from __future__ import annotations

from typing import Any, Final

from kai_py.minicluster.quantities import amount
from kai_py.minicluster.refusals import Faults

Object = dict[str, Any]

#: Without this gate, a server drops the fields.
GATE: Final = "DRANodeAllocatableResources"
MAPPINGS: Final = "nodeAllocatableResourceMappings"
STATUSES: Final = "nodeAllocatableResourceClaimStatuses"
_NATIVE: Final = "must be a node allocatable resource name"


def check_mappings(device: Object, field: str, faults: Faults) -> None:
    """Add what is wrong with what a device takes of its node."""
    for name, mapping in (device.get(MAPPINGS) or {}).items():
        here = f"{field}.{MAPPINGS}[{name}]"
        if not _is_native(name):
            faults.invalid(here, name, _NATIVE)
        multiplier, key = mapping.get("allocationMultiplier"), mapping.get("capacityKey")
        if multiplier is None and key is None:
            faults.invalid(here, "", "at least one of allocationMultiplier or capacityKey must be set")
        if multiplier is not None and amount(multiplier) <= 0:
            faults.invalid(f"{here}.allocationMultiplier", multiplier, "must be positive")
        if key == "":
            faults.invalid(f"{here}.capacityKey", "", "capacityKey must not be an empty string")
        elif key is not None and key not in (device.get("capacity") or {}):
            faults.not_found(f"{here}.capacityKey", key)


def check_statuses(status: Object, spec: Object, faults: Faults) -> None:
    """Add what is wrong with what a pod is told about it."""
    claims = {one.get("resourceClaimName") for one in spec.get("resourceClaims") or ()}
    claims |= {one.get("resourceClaimName") for one in status.get("resourceClaimStatuses") or ()}
    for i, one in enumerate(status.get(STATUSES) or ()):
        here, name = f"status.{STATUSES}[{i}]", one.get("resourceClaimName", "")
        if not name:
            faults.required(f"{here}.resourceClaimName", "must not be empty")
        if name not in claims:
            faults.invalid(f"{here}.resourceClaimName", name, "no mapping found in pod reference")
        for field in ("containers", "resources"):
            if not one.get(field):
                faults.required(f"{here}.{field}", "must not be empty")
        for resource, quantity in (one.get("resources") or {}).items():
            if not _is_native(resource):
                faults.invalid(f"{here}.resources[{resource}]", resource, _NATIVE)
            if amount(quantity) < 0:
                faults.invalid(f"{here}.resources[{resource}]", quantity, "must be non-negative")


def _is_native(resource: str) -> bool:
    return "/" not in resource or "kubernetes.io/" in resource
