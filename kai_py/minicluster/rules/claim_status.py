"""Writes to the status of a ResourceClaim: allocation, reservation, device status."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any, Final

from kai_py.minicluster.metadata import check_label_name, check_qualified_name
from kai_py.minicluster.refusals import Faults

from .devices import check_binding_conditions, check_driver, check_pool_name
from .opaque import check_config
from .pod_spec import check_node_selector

Object = dict[str, Any]

_MAX_CONSUMERS: Final = 256
_MAX_RESULTS: Final = 32
_MAX_CONFIG: Final = 64
_MAX_CONDITIONS: Final = 8
_MAX_DATA: Final = 10 * 1024
_MAX_INTERFACE: Final = 256
_MAX_HARDWARE: Final = 128
_MAX_ADDRESSES: Final = 16
_SOURCES: Final = ("FromClass", "FromClaim")
_STATUSES: Final = ("True", "False", "Unknown")
_REASON: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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
    else:
        for i, result in enumerate(results):
            _check_result(result, f"{field}.results[{i}]", names, faults)
    if len(config) > _MAX_CONFIG:
        faults.too_many(f"{field}.config", len(config), _MAX_CONFIG)
    else:
        for i, entry in enumerate(config):
            _check_config(entry, f"{field}.config[{i}]", names, faults)
    if allocation.get("nodeSelector") is not None:
        check_node_selector(allocation["nodeSelector"], "status.allocation.nodeSelector", faults)


def _request_names(spec: Object) -> set[str]:
    names = set()
    for request in (spec.get("devices") or {}).get("requests") or ():
        if request.get("firstAvailable"):
            names |= {f"{request['name']}/{sub['name']}" for sub in request["firstAvailable"]}
        names.add(request["name"])
    return names


def _check_result(result: Object, field: str, names: set[str], faults: Faults) -> None:
    _check_request(result.get("request", ""), f"{field}.request", names, faults)
    check_driver(result.get("driver", ""), f"{field}.driver", faults)
    check_pool_name(result.get("pool", ""), f"{field}.pool", faults)
    check_label_name(result.get("device", ""), f"{field}.device", faults)
    check_binding_conditions(result, field, faults)
    _check_share(result.get("shareID"), f"{field}.shareID", faults)


def _check_request(name: str, field: str, names: set[str], faults: Faults) -> None:
    if name not in names:
        text = "the name of a request in the claim or the name of a request and a subrequest separated by '/'"
        faults.invalid(field, name, f"must be {text}")


def _check_share(share: str | None, field: str, faults: Faults) -> None:
    if share is not None and not _UUID.fullmatch(share):
        faults.invalid(field, share, "uid must be in RFC 4122 normalized form with lowercase hexadecimal characters")


def _check_config(entry: Object, field: str, names: set[str], faults: Faults) -> None:
    if entry.get("source") not in _SOURCES:
        faults.not_supported(f"{field}.source", entry.get("source", ""), _SOURCES)
    requests = entry.get("requests") or []
    for j, request in enumerate(requests):
        _check_request(request, f"{field}.requests[{j}]", names, faults)
        if request in requests[:j]:
            faults.duplicate(f"{field}.requests[{j}]", request)
    check_config(entry, field, faults)


def _check_device_status(status: Object, faults: Faults) -> None:
    results = (((status.get("allocation") or {}).get("devices")) or {}).get("results") or ()
    allocated = {_identity(result) for result in results}
    seen: set[tuple[str, ...]] = set()
    for i, device in enumerate(status.get("devices") or ()):
        field, identity = f"status.devices[{i}]", _identity(device)
        if identity in seen:
            faults.duplicate(field, "/".join(identity))
        if identity not in allocated:
            faults.invalid(field, "/".join(identity), "must be an allocated device in the claim")
        seen.add(identity)
        _check_share(device.get("shareID"), f"{field}.shareID", faults)
        conditions = device.get("conditions") or []
        if len(conditions) > _MAX_CONDITIONS:
            faults.too_many(f"{field}.conditions", len(conditions), _MAX_CONDITIONS)
        check_conditions(conditions, f"{field}.conditions", faults)
        data = device.get("data")
        if data is not None and len(json.dumps(data, separators=(",", ":"))) > _MAX_DATA:
            faults.too_long(f"{field}.data", _MAX_DATA)
        _check_network(device.get("networkData") or {}, f"{field}.networkData", faults)


def check_conditions(conditions: list[Object], field: str, faults: Faults) -> None:
    """Add what is wrong with conditions, of whatever object."""
    for i, condition in enumerate(conditions):
        here = f"{field}[{i}]"
        if not condition.get("type"):
            faults.required(f"{here}.type")
        else:
            check_qualified_name(condition["type"], f"{here}.type", faults)
        if condition.get("status") not in _STATUSES:
            faults.not_supported(f"{here}.status", condition.get("status", ""), _STATUSES)
        if not condition.get("lastTransitionTime"):
            faults.required(f"{here}.lastTransitionTime")
        if not condition.get("reason"):
            faults.required(f"{here}.reason")
        elif not _REASON.fullmatch(condition["reason"]):
            faults.invalid(f"{here}.reason", condition["reason"], "must be a word in CamelCase")


def _check_network(data: Object, field: str, faults: Faults) -> None:
    for key, limit in (("interfaceName", _MAX_INTERFACE), ("hardwareAddress", _MAX_HARDWARE)):
        if len(data.get(key) or "") > limit:
            faults.too_long(f"{field}.{key}", limit)
    addresses = data.get("ips") or []
    if len(addresses) > _MAX_ADDRESSES:
        faults.too_many(f"{field}.ips", len(addresses), _MAX_ADDRESSES)
        return
    for i, address in enumerate(addresses):
        if not _is_interface_address(address):
            faults.invalid(f"{field}.ips[{i}]", address, "must be a valid address in CIDR form")
        if address in addresses[:i]:
            faults.duplicate(f"{field}.ips[{i}]", address)


def _is_interface_address(text: str) -> bool:
    """Whether a text is an address with the length of its network, in its usual spelling."""
    try:
        return "/" in text and str(ipaddress.ip_interface(text)) == text
    except ValueError:
        return False


def _identity(device: Object) -> tuple[str, ...]:
    return tuple(str(device.get(key) or "") for key in ("driver", "pool", "device", "shareID"))
