"""ResourceSlices: the devices a driver offers."""

from __future__ import annotations

import re
from typing import Any, Final

from kai_py.minicluster.metadata import check_label_name, check_qualified_name, is_subdomain, now
from kai_py.minicluster.refusals import Faults

from .base import Object, Rules
from .pod_spec import check_node_selector

_MAX_DEVICES: Final = 128
_MAX_SPECIAL_DEVICES: Final = 64
_MAX_ATTRIBUTES: Final = 32
_MAX_COUNTER_SETS: Final = 8
_MAX_COUNTERS: Final = 32
_MAX_TAINTS: Final = 16
_PLACES: Final = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
_VALUES: Final = frozenset({"int", "bool", "string", "version", "ints", "bools", "strings", "versions"})
_EFFECTS: Final = frozenset({"None", "NoSchedule", "NoExecute"})
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_SEMVER: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_MAX_TEXT: Final = 64


class SliceRules(Rules):
    """Rules of ResourceSlices."""

    def default(self, obj: Object) -> None:
        """Taints carry the time they were added."""
        for device in (obj.get("spec") or {}).get("devices") or ():
            for taint in device.get("taints") or ():
                taint.setdefault("timeAdded", now())

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        spec = obj["spec"]
        if not is_subdomain(spec.get("driver", "")) or len(spec.get("driver", "")) > 63:
            faults.invalid("spec.driver", spec.get("driver", ""), "must be a subdomain of at most 63 characters")
        _check_pool(spec.get("pool") or {}, faults)
        _check_place(spec, "spec", _PLACES, faults)
        devices, counters = spec.get("devices") or [], spec.get("sharedCounters") or []
        if devices and counters:
            faults.invalid("spec", "", "at most one of `devices` and `sharedCounters` may be set")
        special = any(device.get("taints") or device.get("consumesCounters") for device in devices)
        limit = _MAX_SPECIAL_DEVICES if special else _MAX_DEVICES
        if len(devices) > limit:
            faults.too_many("spec.devices", len(devices), limit)
        names: set[str] = set()
        for i, device in enumerate(devices):
            _check_device(
                device, f"spec.devices[{i}]", names, per_device=bool(spec.get("perDeviceNodeSelection")), faults=faults
            )
        _check_counter_sets(counters, faults)

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        before, after = _identity(old["spec"]), _identity(new["spec"])
        for field, value in after.items():
            if value != before[field]:
                faults.invalid(field, value, "field is immutable")


def _identity(spec: Object) -> Object:
    return {
        "spec.driver": spec.get("driver"),
        "spec.pool.name": (spec.get("pool") or {}).get("name"),
        "spec.nodeName": spec.get("nodeName"),
    }


def _check_pool(pool: Object, faults: Faults) -> None:
    name = pool.get("name", "")
    if not name:
        faults.required("spec.pool.name")
    elif len(name) > 253:
        faults.too_long("spec.pool.name", 253)
    elif not all(is_subdomain(part) for part in name.split("/")):
        faults.invalid("spec.pool.name", name, "must be subdomains joined by '/'")
    if pool.get("generation", 0) < 0:
        faults.invalid("spec.pool.generation", pool["generation"], "must be greater than or equal to zero")
    if pool.get("resourceSliceCount", 0) <= 0:
        faults.invalid("spec.pool.resourceSliceCount", pool.get("resourceSliceCount", 0), "must be greater than zero")


def _check_place(value: Object, field: str, places: tuple[str, ...], faults: Faults) -> None:
    """Exactly one way to say where the devices are."""
    chosen = [place for place in places if value.get(place)]
    for place in ("allNodes", "perDeviceNodeSelection"):
        if value.get(place) is False:
            faults.invalid(f"{field}.{place}", False, "must be either unset or set to true")  # the value
    if not chosen:
        faults.required(field, "exactly one of " + ", ".join(f"`{place}`" for place in places) + " is required")
    elif len(chosen) > 1:
        faults.invalid(field, "{" + ", ".join(chosen) + "}", "exactly one of these fields may be set")
    if value.get("nodeSelector"):
        check_node_selector(value["nodeSelector"], f"{field}.nodeSelector", faults)
        if len(value["nodeSelector"].get("nodeSelectorTerms") or ()) != 1:
            faults.invalid(f"{field}.nodeSelector.nodeSelectorTerms", "", "must have exactly one node selector term")


def _check_device(device: Object, field: str, names: set[str], *, per_device: bool, faults: Faults) -> None:
    name = device.get("name", "")
    check_label_name(name, f"{field}.name", faults)
    if name in names:
        faults.duplicate(f"{field}.name", name)
    names.add(name)
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    if len(attributes) + len(capacity) > _MAX_ATTRIBUTES:
        faults.invalid(
            field,
            len(attributes) + len(capacity),
            f"the total number of attributes and capacities must not exceed {_MAX_ATTRIBUTES}",
        )
    for key, value in attributes.items():
        _check_key(key, f"{field}.attributes", faults)
        _check_attribute(value, f"{field}.attributes[{key}]", faults)
    for key in capacity:
        _check_key(key, f"{field}.capacity", faults)
    if len(device.get("taints") or ()) > _MAX_TAINTS:
        faults.too_many(f"{field}.taints", len(device["taints"]), _MAX_TAINTS)
    for i, taint in enumerate(device.get("taints") or ()):
        check_qualified_name(taint.get("key", ""), f"{field}.taints[{i}].key", faults)
        if taint.get("effect") not in _EFFECTS:
            faults.not_supported(f"{field}.taints[{i}].effect", taint.get("effect", ""), _EFFECTS)
    if per_device:
        _check_place(device, field, _PLACES[:3], faults)
    else:
        for place in _PLACES[:3]:
            if place in device:
                faults.invalid(
                    f"{field}.{place}", "", "can only be specified when `spec.perDeviceNodeSelection` is true"
                )


def _check_key(key: str, field: str, faults: Faults) -> None:
    domain, slash, identifier = key.rpartition("/")
    if slash and (not is_subdomain(domain) or len(domain) > 63):
        faults.invalid(field, key, "the domain must be a subdomain of at most 63 characters")
    if not _IDENTIFIER.fullmatch(identifier):
        faults.invalid(field, key, "a valid C identifier of at most 32 characters is required")


def _check_attribute(value: Object, field: str, faults: Faults) -> None:
    chosen = [key for key in value if key in _VALUES]
    if len(chosen) != 1:
        faults.invalid(field, value, "exactly one value must be specified")
        return
    kind, content = chosen[0].rstrip("s"), value[chosen[0]]
    texts: list[Any] = content if isinstance(content, list) else [content]
    for text in texts:
        if kind in ("string", "version") and len(text) > _MAX_TEXT:
            faults.too_long(f"{field}.{chosen[0]}", _MAX_TEXT)
        if kind == "version" and not _SEMVER.fullmatch(text):
            faults.invalid(f"{field}.{chosen[0]}", text, "must be a string compatible with semver.org spec 2.0.0")


def _check_counter_sets(sets: list[Object], faults: Faults) -> None:
    if len(sets) > _MAX_COUNTER_SETS:
        faults.too_many("spec.sharedCounters", len(sets), _MAX_COUNTER_SETS)
    names: set[str] = set()
    for i, counter_set in enumerate(sets):
        field, name = f"spec.sharedCounters[{i}]", counter_set.get("name", "")
        check_label_name(name, f"{field}.name", faults)
        if name in names:
            faults.duplicate(f"{field}.name", name)
        names.add(name)
        counters = counter_set.get("counters") or {}
        if not counters:
            faults.required(f"{field}.counters")
        if len(counters) > _MAX_COUNTERS:
            faults.too_many(f"{field}.counters", len(counters), _MAX_COUNTERS)
