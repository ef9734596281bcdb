"""ResourceSlices: the devices a driver offers."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from kai_py.minicluster.metadata import check_label_name, now
from kai_py.minicluster.refusals import Faults

from .base import Object, Reader, Rules
from .devices import check_counters, check_device, check_driver, check_place, check_pool_name, drop_gated
from .node_takes import MAPPINGS

_MAX_DEVICES: Final = 128
_MAX_SPECIAL_DEVICES: Final = 64
_MAX_COUNTER_SETS: Final = 8
_PLACES: Final = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


class SliceRules(Rules):
    """Rules of ResourceSlices. ``gates`` are on though they are off by default."""

    def __init__(self, gates: AbstractSet[str] = frozenset()) -> None:
        self._gates = gates

    def default(self, obj: Object) -> None:
        """Taints carry the time they were added."""
        for device in (obj.get("spec") or {}).get("devices") or ():
            for mapping in (device.get(MAPPINGS) or {}).values():
                mapping.setdefault("allocationMultiplier", "1")
            for taint in device.get("taints") or ():
                taint.setdefault("timeAdded", now())

    def prepare_create(self, obj: Object, _reader: Reader) -> None:
        """Fields whose gates are off are dropped."""
        for device in obj["spec"].get("devices") or ():
            drop_gated(device, self._gates)

    def prepare_update(self, new: Object, _old: Object, reader: Reader) -> None:
        """See :meth:`prepare_create`."""
        self.prepare_create(new, reader)

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        spec = obj["spec"]
        check_driver(spec.get("driver", ""), "spec.driver", faults)
        _check_pool(spec.get("pool") or {}, faults)
        _check_place(spec, faults)
        if spec.get("devices") is not None and spec.get("sharedCounters") is not None:
            faults.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed")
        _check_devices(spec, faults)
        _check_counter_sets(spec.get("sharedCounters") or [], faults)

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
    check_pool_name(pool.get("name", ""), "spec.pool.name", faults)
    if pool.get("generation", 0) < 0:
        faults.invalid("spec.pool.generation", pool["generation"], "must be greater than or equal to zero")
    if pool.get("resourceSliceCount", 0) <= 0:
        faults.invalid("spec.pool.resourceSliceCount", pool.get("resourceSliceCount", 0), "must be greater than zero")


def _check_place(spec: Object, faults: Faults) -> None:
    check_place(spec, "spec", _PLACES, faults)
    # With one term, the selectors of several slices can be merged into one of an allocation.
    if spec.get("nodeSelector") and len(spec["nodeSelector"].get("nodeSelectorTerms") or ()) != 1:
        faults.invalid("spec.nodeSelector.nodeSelectorTerms", "", "must have exactly one node selector term")


def _check_devices(spec: Object, faults: Faults) -> None:
    devices = spec.get("devices") or []
    special = any(device.get("taints") or device.get("consumesCounters") for device in devices)
    limit = _MAX_SPECIAL_DEVICES if special else _MAX_DEVICES
    if len(devices) > limit:
        faults.too_many("spec.devices", len(devices), limit)
        return
    names: set[str] = set()
    for i, device in enumerate(devices):
        field, name = f"spec.devices[{i}]", device.get("name", "")
        check_device(device, field, per_device=bool(spec.get("perDeviceNodeSelection")), faults=faults)
        if name in names:
            faults.duplicate(field, name)
        names.add(name)


def _check_counter_sets(sets: list[Object], faults: Faults) -> None:
    if len(sets) > _MAX_COUNTER_SETS:
        faults.too_many("spec.sharedCounters", len(sets), _MAX_COUNTER_SETS)
        return
    names: set[str] = set()
    for i, counter_set in enumerate(sets):
        field, name = f"spec.sharedCounters[{i}]", counter_set.get("name", "")
        check_label_name(name, f"{field}.name", faults)
        if name in names:
            faults.duplicate(field, name)
        names.add(name)
        check_counters(counter_set.get("counters") or {}, f"{field}.counters", faults)
