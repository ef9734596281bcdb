"""ResourceClaims, their templates and DeviceClasses: defaults and the validation of resource.k8s.io/v1."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from kai_py.minicluster.kinds import CLAIMS, NAMESPACES
from kai_py.minicluster.metadata import check_label_name, check_labels, is_label, is_subdomain
from kai_py.minicluster.refusals import Faults, forbidden

from .base import Object, Reader, Rules
from .claim_status import check_claim_status, drop_stale_devices

_MAX_REQUESTS: Final = 32
_MAX_SELECTORS: Final = 32
_MAX_ALTERNATIVES: Final = 8
_MAX_TOLERATIONS: Final = 16
_MAX_PARAMETERS: Final = 10 * 1024
_MAX_EXPRESSION: Final = 10 * 1024
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ADMIN_LABEL: Final = "resource.kubernetes.io/admin-access"
_MODES: Final = frozenset({"ExactCount", "All"})


def default_devices(devices: Object) -> None:
    """Fill in the requests of a claim spec in place."""
    for request in devices.get("requests") or ():
        for exact in [request["exactly"]] if request.get("exactly") else request.get("firstAvailable") or ():
            if exact.setdefault("allocationMode", "ExactCount") == "ExactCount":
                exact.setdefault("count", 1)
            for toleration in exact.get("tolerations") or ():
                toleration.setdefault("operator", "Equal")


def check_devices(devices: Object, field: str, faults: Faults) -> None:
    """Add what is wrong with the devices part of a claim spec."""
    requests = devices.get("requests") or []
    if len(requests) > _MAX_REQUESTS:
        faults.too_many(f"{field}.requests", len(requests), _MAX_REQUESTS)
    names: set[str] = set()
    for i, request in enumerate(requests):
        _check_request(request, f"{field}.requests[{i}]", names, faults)
    for i, constraint in enumerate(devices.get("constraints") or ()):
        _check_constraint(constraint, f"{field}.constraints[{i}]", names, faults)
    for part in ("constraints", "config"):
        if len(devices.get(part) or ()) > _MAX_REQUESTS:
            faults.too_many(f"{field}.{part}", len(devices[part]), _MAX_REQUESTS)
    for i, config in enumerate(devices.get("config") or ()):
        here = f"{field}.config[{i}]"
        _check_references(config.get("requests") or (), f"{here}.requests", names, faults)
        check_config(config, here, faults)


def _check_request(request: Object, field: str, names: set[str], faults: Faults) -> None:
    name = request.get("name", "")
    if not is_label(name):
        check_label_name(name, f"{field}.name", faults)
    if name in names:
        faults.duplicate(f"{field}.name", name)
    names.add(name)
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or []
    if exactly is not None and alternatives:
        faults.invalid(
            field, request, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"
        )
    elif exactly is not None:
        _check_exact(exactly, f"{field}.exactly", faults)
    elif alternatives:
        if len(alternatives) > _MAX_ALTERNATIVES:
            faults.too_many(f"{field}.firstAvailable", len(alternatives), _MAX_ALTERNATIVES)
        seen: set[str] = set()
        for i, alternative in enumerate(alternatives):
            here = f"{field}.firstAvailable[{i}]"
            check_label_name(alternative.get("name", ""), f"{here}.name", faults)
            if alternative.get("name") in seen:
                faults.duplicate(f"{here}.name", alternative["name"])
            seen.add(alternative.get("name", ""))
            names.add(f"{name}/{alternative.get('name', '')}")
            _check_exact(alternative, here, faults)
    else:
        faults.required(field, "exactly one of `exactly` or `firstAvailable` is required")


def _check_exact(request: Object, field: str, faults: Faults) -> None:
    device_class = request.get("deviceClassName", "")
    if not device_class:
        faults.required(f"{field}.deviceClassName")
    elif not is_subdomain(device_class):
        faults.invalid(f"{field}.deviceClassName", device_class, "a lowercase RFC 1123 subdomain is required")
    check_selectors(request.get("selectors") or [], f"{field}.selectors", faults)
    mode, count = request.get("allocationMode", ""), request.get("count", 0)
    if mode not in _MODES:
        faults.not_supported(f"{field}.allocationMode", mode, _MODES)
    elif mode == "ExactCount" and count <= 0:
        faults.invalid(f"{field}.count", count, "must be greater than zero")
    elif mode == "All" and count:
        faults.invalid(f"{field}.count", count, "must not be specified when allocationMode is 'All'")
    if len(request.get("tolerations") or ()) > _MAX_TOLERATIONS:
        faults.too_many(f"{field}.tolerations", len(request["tolerations"]), _MAX_TOLERATIONS)
    for i, toleration in enumerate(request.get("tolerations") or ()):
        operator = toleration.get("operator")
        if operator not in ("Equal", "Exists"):
            faults.not_supported(f"{field}.tolerations[{i}].operator", operator, ("Equal", "Exists"))
        elif operator == "Exists" and toleration.get("value"):
            faults.invalid(
                f"{field}.tolerations[{i}].value", toleration["value"], "must be empty for operator `Exists`"
            )
        elif operator == "Equal" and not toleration.get("key"):
            faults.required(f"{field}.tolerations[{i}].key")


def check_selectors(selectors: list[Object], field: str, faults: Faults) -> None:
    """Add what is wrong with device selectors; the expressions themselves are not compiled."""
    if len(selectors) > _MAX_SELECTORS:
        faults.too_many(field, len(selectors), _MAX_SELECTORS)
    for i, selector in enumerate(selectors):
        expression = (selector.get("cel") or {}).get("expression", "")
        if selector.get("cel") is None:
            faults.required(f"{field}[{i}].cel")
        elif not expression:
            faults.required(f"{field}[{i}].cel.expression")
        elif len(expression) > _MAX_EXPRESSION:
            faults.too_long(f"{field}[{i}].cel.expression", _MAX_EXPRESSION)


def _check_constraint(constraint: Object, field: str, names: set[str], faults: Faults) -> None:
    _check_references(constraint.get("requests") or (), f"{field}.requests", names, faults)
    attributes = [(key, constraint[key]) for key in ("matchAttribute", "distinctAttribute") if constraint.get(key)]
    if not attributes:
        faults.required(field, "exactly one of: matchAttribute, distinctAttribute")
    for key, name in attributes:
        domain, slash, identifier = name.partition("/")
        if not slash:
            faults.invalid(f"{field}.{key}", name, "must include a domain")
        elif not is_subdomain(domain) or len(domain) > 63 or not _is_identifier(identifier):
            faults.invalid(f"{field}.{key}", name, "must be a domain and a C identifier of at most 32 characters")


def _is_identifier(text: str) -> bool:
    return len(text) <= 32 and _IDENTIFIER.fullmatch(text) is not None


def _check_references(requests: Any, field: str, names: set[str], faults: Faults) -> None:
    seen: set[str] = set()
    for i, request in enumerate(requests):
        if request in seen:
            faults.duplicate(f"{field}[{i}]", request)
        elif request not in names:
            faults.invalid(
                f"{field}[{i}]",
                request,
                "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
            )
        seen.add(request)


def check_config(config: Object, field: str, faults: Faults) -> None:
    """Add what is wrong with the opaque parameters of a driver."""
    opaque = config.get("opaque")
    if opaque is None:
        faults.required(f"{field}.opaque")
        return
    if not opaque.get("driver"):
        faults.required(f"{field}.opaque.driver")
    elif not is_subdomain(opaque["driver"]) or len(opaque["driver"]) > 63:
        faults.invalid(f"{field}.opaque.driver", opaque["driver"], "must be a subdomain of at most 63 characters")
    if opaque.get("parameters") is None:
        faults.required(f"{field}.opaque.parameters")
    elif len(json.dumps(opaque["parameters"])) > _MAX_PARAMETERS:
        faults.too_long(f"{field}.opaque.parameters", _MAX_PARAMETERS)


def _admin_requests(devices: Object) -> Iterator[Object]:
    return (r for r in devices.get("requests") or () if (r.get("exactly") or {}).get("adminAccess"))


def admit_admin_access(obj: Object, devices: Object, reader: Reader) -> None:
    """Admin access needs the namespace's consent.

    Raises:
        RefusedError: 403.
    """
    if any(_admin_requests(devices)):
        namespace = reader.find(NAMESPACES.key, "", obj["metadata"]["namespace"]) or {"metadata": {}}
        if (namespace["metadata"].get("labels") or {}).get(_ADMIN_LABEL) != "true":
            raise forbidden(
                CLAIMS,
                obj["metadata"]["name"],
                f"admin access to devices requires the `{_ADMIN_LABEL}: true` label on the containing namespace",
            )


class ClaimRules(Rules):
    """Rules of ResourceClaims."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        default_devices(obj.setdefault("spec", {}).get("devices") or {})
        for result in (((obj.get("status") or {}).get("allocation") or {}).get("devices") or {}).get("results") or ():
            for toleration in result.get("tolerations") or ():
                toleration.setdefault("operator", "Equal")

    def prepare_create(self, obj: Object, reader: Reader) -> None:
        """See :class:`Rules`."""
        obj["status"] = {}
        admit_admin_access(obj, obj["spec"].get("devices") or {}, reader)

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        check_devices(obj["spec"].get("devices") or {}, "spec.devices", faults)

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        if new["spec"] != old["spec"]:
            faults.invalid("spec", new["spec"], "field is immutable")

    def prepare_status(self, new: Object, old: Object) -> None:
        """See :class:`Rules`."""
        new.setdefault("status", {})
        drop_stale_devices(new, old)

    def validate_status(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        check_claim_status(new, old, faults)


class ClaimTemplateRules(Rules):
    """Rules of ResourceClaimTemplates."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        default_devices(((obj.get("spec") or {}).get("spec") or {}).get("devices") or {})

    def prepare_create(self, obj: Object, reader: Reader) -> None:
        """See :class:`Rules`."""
        admit_admin_access(obj, ((obj.get("spec") or {}).get("spec") or {}).get("devices") or {}, reader)

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        check_devices(obj["spec"]["spec"].get("devices") or {}, "spec.spec.devices", faults)
        meta = obj["spec"].get("metadata") or {}
        check_labels(meta.get("labels") or {}, "spec.metadata.labels", faults)
        for key in sorted(meta.keys() - {"labels", "annotations"}):
            faults.forbidden(f"spec.metadata.{key}", "may not be set in a template")

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        if new["spec"] != old["spec"]:
            faults.invalid("spec", new["spec"], "field is immutable")


class DeviceClassRules(Rules):
    """Rules of DeviceClasses."""

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        check_selectors(obj["spec"].get("selectors") or [], "spec.selectors", faults)
        config = obj["spec"].get("config") or []
        if len(config) > _MAX_REQUESTS:
            faults.too_many("spec.config", len(config), _MAX_REQUESTS)
        for i, entry in enumerate(config):
            check_config(entry, f"spec.config[{i}]", faults)
