"""What a pod's status says about its claims on devices."""

from __future__ import annotations

from typing import Any

from kai_py.minicluster.metadata import check_label_name, check_subdomain
from kai_py.minicluster.refusals import Faults

Object = dict[str, Any]


def check_pod_claims(status: Object, spec: Object, faults: Faults) -> None:
    """Add what is wrong with the names of generated claims, and with the claim of extended resources."""
    _check_generated(status.get("resourceClaimStatuses") or (), spec, faults)
    extended = status.get("extendedResourceClaimStatus")
    if extended is not None:
        _check_extended(extended, spec, faults)


def _check_generated(entries: Any, spec: Object, faults: Faults) -> None:
    known = {claim["name"] for claim in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for i, entry in enumerate(entries):
        field, name = f"status.resourceClaimStatuses[{i}]", entry.get("name", "")
        if name not in known:
            faults.invalid(f"{field}.name", name, "must match the name of an entry in `spec.resourceClaims`")
        if name in seen:
            faults.duplicate(f"{field}.name", name)
        seen.add(name)
        if "resourceClaimName" in entry:
            check_subdomain(entry["resourceClaimName"], f"{field}.resourceClaimName", faults)


def _check_extended(extended: Object, spec: Object, faults: Faults) -> None:
    field = "status.extendedResourceClaimStatus"
    containers = {one["name"]: one for key in ("initContainers", "containers") for one in spec.get(key) or ()}
    mappings = extended.get("requestMappings") or []
    if not mappings:
        faults.required(f"{field}.requestMappings", "at least one request mapping is required")
    keys = ("containerName", "resourceName", "requestName")
    seen: set[tuple[str, ...]] = set()
    for i, mapping in enumerate(mappings):
        here, container = f"{field}.requestMappings[{i}]", containers.get(mapping.get("containerName", ""))
        resource = mapping.get("resourceName", "")
        if container is None:
            text = "must match the name of an entry in spec.initContainers.name or spec.containers.name"
            faults.invalid(f"{here}.containerName", mapping.get("containerName", ""), text)
        elif resource not in (container["resources"].get("requests") or {}):
            text = "must match the extended resource name of an entry in the requests of the container"
            faults.invalid(f"{here}.resourceName", resource, text)
        check_label_name(mapping.get("requestName", ""), f"{field}.requestName", faults)
        identity = tuple(mapping.get(key, "") for key in keys)
        if identity in seen:
            for key in keys:
                faults.duplicate(f"{here}.{key}", mapping.get(key, ""))
        seen.add(identity)
    if not extended.get("resourceClaimName"):
        faults.required(f"{field}.resourceClaimName")
    else:
        check_subdomain(extended["resourceClaimName"], f"{field}.resourceClaimName", faults)
