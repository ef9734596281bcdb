"""The devices of a ResourceSlice, and what slices and allocations of them have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Final

from kai_py.minicluster.metadata import (
    check_label_name,
    check_labels,
    check_qualified_name,
    check_subdomain,
    is_label,
    is_subdomain,
)
from kai_py.minicluster.refusals import Faults

from .capacities import check_capacity
from .node_takes import GATE, MAPPINGS, check_mappings
from .pod_spec import check_node_selector

Object = dict[str, Any]

_MAX_ATTRIBUTES: Final = 32
_MAX_CONSUMPTIONS: Final = 2
_MAX_COUNTERS: Final = 32
_MAX_TAINTS: Final = 16
_MAX_CONDITIONS: Final = 4
_MAX_TEXT: Final = 64
_MAX_POOL: Final = 253
#: Fields whose gate is off by default; a real server drops them silently.
_GATED_VALUES: Final = frozenset({"ints", "bools", "strings", "versions"})
_VALUES: Final = frozenset({"int", "bool", "string", "version"})
_EFFECTS: Final = frozenset({"None", "NoSchedule", "NoExecute"})
_PLACES: Final = ("nodeName", "nodeSelector", "allNodes")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_NUMBER: Final = r"(?:0|[1-9]\d*)"
_BEFORE: Final = r"(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD: Final = r"[0-9a-zA-Z-]+"
_SEMVER: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_BEFORE}(?:\.{_BEFORE})*)?(?:\+{_BUILD}(?:\.{_BUILD})*)?"
)


def drop_gated(device: Object, gates: AbstractSet[str] = frozenset()) -> None:
    """Drop the fields of a device whose gates are off, except for ``gates``."""
    if GATE not in gates:
        device.pop(MAPPINGS, None)
    for value in (device.get("attributes") or {}).values():
        for key in _GATED_VALUES & value.keys():
            del value[key]


def check_driver(name: str, field: str, faults: Faults) -> None:
    """Add what is wrong with a driver's name, in which capitals are allowed."""
    if not name:
        faults.required(field)
    elif len(name) > 63:
        faults.too_long(field, 63)
    elif not is_subdomain(name.lower()):
        check_subdomain(name.lower(), field, faults)


def check_pool_name(name: str, field: str, faults: Faults) -> None:
    """Add what is wrong with a pool's name: subdomains joined by slashes."""
    if not name:
        faults.required(field)
    elif len(name) > _MAX_POOL:
        faults.too_long(field, _MAX_POOL)
    elif not all(is_subdomain(part) for part in name.split("/")):
        faults.invalid(field, name, "must be subdomains joined by '/'")


def check_binding_conditions(device: Object, field: str, faults: Faults) -> None:
    """Add what is wrong with the conditions on which a binding waits."""
    lists = {key: device.get(key) or [] for key in ("bindingConditions", "bindingFailureConditions")}
    for key, names in lists.items():
        if len(names) > _MAX_CONDITIONS:
            faults.too_many(f"{field}.{key}", len(names), _MAX_CONDITIONS)
            continue
        for i, name in enumerate(names):
            check_qualified_name(name, f"{field}.{key}[{i}]", faults)
            if name in names[:i]:
                faults.duplicate(f"{field}.{key}[{i}]", name)
            elif key == "bindingFailureConditions" and name in lists["bindingConditions"]:
                faults.invalid(f"{field}.{key}[{i}]", name, "must not overlap with bindingConditions")
    for key, other in (lists, list(lists)[::-1]):
        if lists[other] and not lists[key]:
            faults.invalid(f"{field}.{key}", None, f"{key} are required to use {other}")


def check_device(device: Object, field: str, *, per_device: bool, faults: Faults) -> None:
    """Add what is wrong with a device; ``per_device``, it says itself where it can be used."""
    check_label_name(device.get("name", ""), f"{field}.name", faults)
    _check_properties(device, field, faults)
    _check_taints(device.get("taints") or [], f"{field}.taints", faults)
    _check_consumption(device.get("consumesCounters") or [], f"{field}.consumesCounters", faults)
    check_binding_conditions(device, field, faults)
    check_mappings(device, field, faults)
    if per_device:
        check_place(device, field, _PLACES, faults)
    elif any(place in device for place in _PLACES):
        text = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true"
        faults.invalid(field, None, f"{text} in the ResourceSlice spec")


def check_place(value: Object, field: str, places: Sequence[str], faults: Faults) -> None:
    """Add what is wrong with where devices can be used: exactly one of ``places`` says so."""
    chosen = [place for place in places if value.get(place)]
    if value.get("nodeName") == "":
        faults.invalid(f"{field}.nodeName", "", "must be either unset or set to a non-empty string")
    elif value.get("nodeName") is not None:
        check_subdomain(value["nodeName"], f"{field}.nodeName", faults)
    for place in ("allNodes", "perDeviceNodeSelection"):
        if value.get(place) is False:
            faults.invalid(f"{field}.{place}", False, "must be either unset or set to true")  # the value
    if not chosen:
        faults.required(field, "exactly one of " + ", ".join(f"`{place}`" for place in places) + " is required")
    elif len(chosen) > 1:
        faults.invalid(field, "{" + ", ".join(chosen) + "}", "exactly one of these fields may be set")
    if value.get("nodeSelector"):
        check_node_selector(value["nodeSelector"], f"{field}.nodeSelector", faults)


def check_counters(counters: Object, field: str, faults: Faults) -> None:
    """Add what is wrong with the counters of a set, or with what a device takes of them."""
    if not counters:
        faults.required(field)
    if len(counters) > _MAX_COUNTERS:
        faults.too_many(field, len(counters), _MAX_COUNTERS)
        return
    for name in counters:
        if not is_label(name):
            check_label_name(name, field, faults)


def _check_properties(device: Object, field: str, faults: Faults) -> None:
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    number = len(attributes) + len(capacity)
    if number > _MAX_ATTRIBUTES:
        text = f"the total number of attributes and capacities must not exceed {_MAX_ATTRIBUTES}"
        faults.invalid(field, number, text)
    for key, value in attributes.items():
        _check_key(key, f"{field}.attributes", faults)
        _check_attribute(value, f"{field}.attributes[{key}]", faults)
    shared = bool(device.get("allowMultipleAllocations"))
    for key, value in capacity.items():
        _check_key(key, f"{field}.capacity", faults)
        check_capacity(value, f"{field}.capacity[{key}]", shared=shared, faults=faults)


@lru_cache(maxsize=4096)
def _is_plain(key: str) -> bool:
    """Whether a key is an identifier without a domain: so are nearly all, thousands of times the same."""
    return _IDENTIFIER.fullmatch(key) is not None


def _check_key(key: str, field: str, faults: Faults) -> None:
    """A C identifier, qualified or not. With more than one slash anything goes, as on a real server."""
    if _is_plain(key):
        return
    parts = key.split("/")
    if len(parts) > 2:
        return
    if len(parts) == 2:
        if parts[0]:
            check_driver(parts[0], field, faults)
        else:
            faults.invalid(field, "", "the domain must not be empty")
    if not parts[-1]:
        faults.invalid(field, "", "the name must not be empty")
    elif not _IDENTIFIER.fullmatch(parts[-1]):
        faults.invalid(field, key, "a valid C identifier of at most 32 characters is required")


def _check_attribute(value: Object, field: str, faults: Faults) -> None:
    chosen = list(_VALUES & value.keys())
    if len(chosen) != 1:
        faults.invalid(field, value or "", "exactly one value must be specified")
        return
    kind, content = chosen[0], value[chosen[0]]
    if kind in ("string", "version") and len(content) > _MAX_TEXT:
        faults.too_long(f"{field}.{kind}", _MAX_TEXT)
    if kind == "version" and not _SEMVER.fullmatch(content):
        faults.invalid(f"{field}.{kind}", content, "must be a string compatible with semver.org spec 2.0.0")


def _check_taints(taints: list[Object], field: str, faults: Faults) -> None:
    if len(taints) > _MAX_TAINTS:
        faults.too_many(field, len(taints), _MAX_TAINTS)
        return
    for i, taint in enumerate(taints):
        here = f"{field}[{i}]"
        check_qualified_name(taint.get("key", ""), f"{here}.key", faults)
        _check_label_value(taint.get("value", ""), f"{here}.value", faults)
        if not taint.get("effect"):
            faults.required(f"{here}.effect")
        elif taint["effect"] not in _EFFECTS:
            faults.not_supported(f"{here}.effect", taint["effect"], _EFFECTS)


def check_toleration(toleration: Object, field: str, faults: Faults) -> None:
    """Add what is wrong with a toleration of a device's taints."""
    operator = toleration.get("operator")
    if toleration.get("key"):
        check_qualified_name(toleration["key"], f"{field}.key", faults)
    if operator == "Exists":
        if toleration.get("value"):
            faults.invalid(f"{field}.value", toleration["value"], "must be empty for operator `Exists`")
    elif operator == "Equal":
        _check_label_value(toleration.get("value", ""), f"{field}.value", faults)
    else:
        faults.not_supported(f"{field}.operator", operator, ("Equal", "Exists"))
    if toleration.get("effect") and toleration["effect"] not in _EFFECTS:
        faults.not_supported(f"{field}.effect", toleration["effect"], _EFFECTS)


def _check_label_value(value: str, field: str, faults: Faults) -> None:
    if value:
        check_labels({"key": value}, field, faults)


def _check_consumption(uses: list[Object], field: str, faults: Faults) -> None:
    if len(uses) > _MAX_CONSUMPTIONS:
        faults.too_many(field, len(uses), _MAX_CONSUMPTIONS)
        return
    seen: set[str] = set()
    for i, use in enumerate(uses):
        name = use.get("counterSet", "")
        if not name:
            faults.required(f"{field}[{i}].counterSet")
        elif not is_label(name):
            check_label_name(name, f"{field}[{i}].counterSet", faults)
        if name in seen:
            faults.duplicate(f"{field}[{i}]", name)
        seen.add(name)
        check_counters(use.get("counters") or {}, f"{field}[{i}].counters", faults)
