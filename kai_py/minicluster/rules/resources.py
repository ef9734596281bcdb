"""Requests and limits: names, values, and that a request never exceeds its limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kai_py.minicluster.metadata import check_qualified_name
from kai_py.minicluster.quantities import amount
from kai_py.minicluster.refusals import Faults

_STANDARD: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_HUGE_PAGES: Final = "hugepages-"


def is_extended(name: str) -> bool:
    """Whether a resource is counted in whole pieces and cannot be overcommitted, such as ``nvidia.com/gpu``."""
    domain, slash, _ = name.partition("/")
    native = not slash or domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    return not native and not name.startswith("requests.")


def check_requirements(resources: Mapping[str, Any], field: str, faults: Faults) -> None:
    """Add what is wrong with a container's ``resources``."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, quantity in amounts.items():
            _check_amount(name, quantity, f"{field}.{part}[{name}]", faults)
    for name, quantity in requests.items():
        path = f"{field}.requests"
        if name not in limits:
            if not _may_overcommit(name):
                faults.required(f"{field}.limits", "Limit must be set for non overcommitable resources")
        elif amount(quantity) != amount(limits[name]) and not _may_overcommit(name):
            faults.invalid(path, quantity, f"must be equal to {name} limit of {limits[name]}")
        elif amount(quantity) > amount(limits[name]):
            faults.invalid(path, quantity, f"must be less than or equal to {name} limit of {limits[name]}")


def _check_amount(name: str, quantity: str, field: str, faults: Faults) -> None:
    check_qualified_name(name, field, faults)
    if "/" not in name and name not in _STANDARD and not name.startswith(_HUGE_PAGES):
        faults.invalid(field, name, "must be a standard resource type or fully qualified")
    value = amount(quantity)
    if value < 0:
        faults.invalid(field, quantity, "must be greater than or equal to 0")
    if is_extended(name) and value.denominator != 1:
        faults.invalid(field, quantity, "must be an integer")


def _may_overcommit(name: str) -> bool:
    return not is_extended(name) and not name.startswith(_HUGE_PAGES)


def check_node_amounts(amounts: Mapping[str, str], field: str, faults: Faults) -> None:
    """Add what is wrong with a node's capacity or allocatable."""
    for name, quantity in amounts.items():
        path = f"{field}[{name}]"
        check_qualified_name(name, path, faults)
        value = amount(quantity)
        if value < 0:
            faults.invalid(path, quantity, "must be greater than or equal to 0")
        if is_extended(name) and value.denominator != 1:
            faults.invalid(path, quantity, "must be an integer")
