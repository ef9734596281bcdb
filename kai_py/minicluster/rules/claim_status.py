"""Writes to the status of a ResourceClaim: allocation, reservation, device status."""

from __future__ import annotations

from typing import Any, Final

from kai_py.minicluster.metadata import is_subdomain
from kai_py.minicluster.refusals import Faults

from .pod_spec import check_node_selector

Object = dict[str, Any]

_MAX_CONSUMERS: Final = 256
_MAX_RESULTS: Final = 32
_MAX_CONFIG: Final = 64


def drop_stale_devices(new: Object, old: Object) -> None:
    """When the allocation is cleared, the drivers' device status goes with it."""
    if (old.get("status") or {}).get("allocation") and not new["status"].get("allocation"):
        new["status"].pop("devices", None)


def check_claim_status(new: Object, old: Object, faults: Faults) -> None:
    """Add what is wrong with a status write."""
    status, before = new["status"], old.get("status") or {}
    _check_consumers(status, before, deleting="deletionTimestamp" in old["metadata"], faults=faults)
    allocation = status.get("allocation")
    if before.get("allocation") is not None and allocation is not None:
        if allocation != before["allocation"]:
            faults.invalid("status.allocation", allocation, "field is immutable")
    elif allocation is not None:
        _check_allocation(allocation, new["spec"], faults)
    _check_device_status(status, faults)


def _check_consumers(status: Object, before: Object, *, deleting: bool, faults: Faults) -> None:
    field, consumers = "status.reservedFor", status.get("reservedFor") or []
    if len(consumers) > _MAX_CONSUMERS:
        faults.too_many(field, len(consumers), _MAX_CONSUMERS)
    seen: set[str] = set()
    for i, consumer in enumerate(consumers):
        for key in ("resource", "name", "uid"):
            if not consumer.get(key):
                faults.required(f"{field}[{i}].{key}")
        if consumer.get("uid") in seen:
            faults.duplicate(f"{field}[{i}]", consumer["uid"])
        seen.add(consumer.get("uid", ""))
    if consumers and not status.get("allocation"):
        faults.forbidden(field, "may not be specified when `allocated` is not set")
    known = {consumer["uid"] for consumer in before.get("reservedFor") or ()}
    if deleting and any(consumer.get("uid") not in known for consumer in consumers):
        faults.forbidden(
            field, "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        )


def _check_allocation(allocation: Object, spec: Object, faults: Faults) -> None:
    field, devices = "status.allocation.devices", allocation.get("devices") or {}
    names = _request_names(spec)
    results, config = devices.get("results") or [], devices.get("config") or []
    if len(results) > _MAX_RESULTS:
        faults.too_many(f"{field}.results", len(results), _MAX_RESULTS)
    if len(config) > _MAX_CONFIG:
        faults.too_many(f"{field}.config", len(config), _MAX_CONFIG)
    for i, result in enumerate(results):
        _check_result(result, f"{field}.results[{i}]", names, faults)
    for i, entry in enumerate(config):
        here = f"{field}.config[{i}]"
        if entry.get("source") not in ("FromClass", "FromClaim"):
            faults.not_supported(f"{here}.source", entry.get("source", ""), ("FromClass", "FromClaim"))
        for j, request in enumerate(entry.get("requests") or ()):
            if request not in names:
                faults.invalid(f"{here}.requests[{j}]", request, "must be the name of a request in the claim")
    if allocation.get("nodeSelector") is not None:
        check_node_selector(allocation["nodeSelector"], "status.allocation.nodeSelector", faults)
        if len(allocation["nodeSelector"].get("nodeSelectorTerms") or ()) > 1:
            faults.invalid(
                "status.allocation.nodeSelector.nodeSelectorTerms", "", "must have exactly one node selector term"
            )


def _request_names(spec: Object) -> set[str]:
    names = set()
    for request in (spec.get("devices") or {}).get("requests") or ():
        if request.get("firstAvailable"):
            names |= {f"{request['name']}/{sub['name']}" for sub in request["firstAvailable"]}
        names.add(request["name"])
    return names


def _check_result(result: Object, field: str, names: set[str], faults: Faults) -> None:
    if result.get("request") not in names:
        faults.invalid(
            f"{field}.request",
            result.get("request", ""),
            "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
        )
    driver = result.get("driver", "")
    if not driver:
        faults.required(f"{field}.driver")
    elif not is_subdomain(driver) or len(driver) > 63:
        faults.invalid(f"{field}.driver", driver, "must be a subdomain of at most 63 characters")
    for key in ("pool", "device"):
        if not result.get(key):
            faults.required(f"{field}.{key}")


def _check_device_status(status: Object, faults: Faults) -> None:
    results = (((status.get("allocation") or {}).get("devices")) or {}).get("results") or ()
    allocated = {_identity(result) for result in results}
    seen: set[tuple[str, ...]] = set()
    for i, device in enumerate(status.get("devices") or ()):
        identity = _identity(device)
        if identity in seen:
            faults.duplicate(f"status.devices[{i}]", "/".join(identity))
        if identity not in allocated:
            faults.invalid(f"status.devices[{i}]", "/".join(identity), "must be an allocated device in the claim")
        seen.add(identity)


def _identity(device: Object) -> tuple[str, ...]:
    return tuple(str(device.get(key) or "") for key in ("driver", "pool", "device", "shareID"))
