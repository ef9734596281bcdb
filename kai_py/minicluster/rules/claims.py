"""ResourceClaims, their templates and DeviceClasses: defaults and the validation of resource.k8s.io/v1."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from kai_py.core.dra.cel import CelError, compile_expression
from kai_py.minicluster.kinds import CLAIM_TEMPLATES, CLAIMS, NAMESPACES, Kind
from kai_py.minicluster.metadata import check_label_name, check_labels, check_qualified_name, is_label, is_subdomain
from kai_py.minicluster.refusals import Faults, invalid

from .base import Object, Reader, Rules
from .claim_status import check_claim_status, drop_stale_devices
from .devices import check_toleration
from .opaque import check_config
from .resources import is_extended

_MAX_REQUESTS: Final = 32
_MAX_SELECTORS: Final = 32
_MAX_ALTERNATIVES: Final = 8
_MAX_EXPRESSION: Final = 10 * 1024
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ADMIN_LABEL: Final = "resource.kubernetes.io/admin-access"
_QUOTA_PREFIX: Final = "requests."
_MODES: Final = frozenset({"ExactCount", "All"})


def default_devices(devices: Object) -> None:
    """Fill in the requests of a claim spec in place."""
    for request in devices.get("requests") or ():
        for exact in [request["exactly"]] if request.get("exactly") else request.get("firstAvailable") or ():
            _default_exact(exact)


def _default_exact(exact: Object) -> None:
    exact["allocationMode"] = exact.get("allocationMode") or "ExactCount"
    if exact["allocationMode"] == "ExactCount":
        exact["count"] = exact.get("count") or 1
    for toleration in exact.get("tolerations") or ():
        toleration["operator"] = toleration.get("operator") or "Equal"


def check_devices(devices: Object, field: str, faults: Faults) -> None:
    """Add what is wrong with the devices part of a claim spec."""
    requests = devices.get("requests") or []
    if len(requests) > _MAX_REQUESTS:
        faults.too_many(f"{field}.requests", len(requests), _MAX_REQUESTS)
    names: set[str] = set()
    for i, request in enumerate(requests[:_MAX_REQUESTS]):
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
        faults.duplicate(field, name)
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
                faults.duplicate(here, alternative["name"])
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
    for i, toleration in enumerate(request.get("tolerations") or ()):
        check_toleration(toleration, f"{field}.tolerations[{i}]", faults)


def check_selectors(selectors: list[Object], field: str, faults: Faults) -> None:
    """Add what is wrong with device selectors. Expressions are compiled, but their costs are not estimated."""
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
        elif isinstance(program := compile_expression(expression), CelError):
            faults.invalid(f"{field}[{i}].cel.expression", expression, str(program))


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


def _is_extended_resource(name: str) -> bool:
    """Whether a name has a domain that is not Kubernetes' own, and could be one of a quota."""
    faults = Faults()
    check_qualified_name(f"{_QUOTA_PREFIX}{name}", "", faults)
    return is_extended(name) and not name.startswith(_QUOTA_PREFIX) and not faults


def _exact_requests(devices: Object) -> list[Object]:
    return [request.get("exactly") or {} for request in devices.get("requests") or ()]


def _admit_admin_access(kind: Kind, obj: Object, entries: Iterable[Object], field: str, reader: Reader) -> None:
    """Admin access needs the namespace's consent.

    Raises:
        RefusedError: 422.
    """
    asking = [i for i, entry in enumerate(entries) if entry.get("adminAccess")]
    if not asking:
        return
    namespace = reader.find(NAMESPACES.key, "", obj["metadata"]["namespace"]) or {"metadata": {}}
    if (namespace["metadata"].get("labels") or {}).get(_ADMIN_LABEL) != "true":
        faults, label = Faults(), f"`{_ADMIN_LABEL}: true` label on the containing namespace"
        for i in asking:
            faults.forbidden(f"{field}[{i}].adminAccess", f"admin access to devices requires the {label}")
        raise invalid(kind, obj["metadata"]["name"], faults)


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
        requests = _exact_requests(obj["spec"].get("devices") or {})
        _admit_admin_access(CLAIMS, obj, requests, "spec.devices.requests", reader)

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        check_devices(obj["spec"].get("devices") or {}, "spec.devices", faults)

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        if new["spec"] != old["spec"]:
            faults.invalid("spec", new["spec"], "field is immutable")

    def prepare_status(self, new: Object, old: Object, reader: Reader) -> None:
        """See :class:`Rules`."""
        new.setdefault("status", {})
        drop_stale_devices(new, old)
        allocation = new["status"].get("allocation")
        if allocation is not None:
            allocation.setdefault("devices", {})
            if not (old.get("status") or {}).get("allocation"):
                results = allocation["devices"].get("results") or []
                _admit_admin_access(CLAIMS, new, results, "status.allocation.devices.results", reader)

    def validate_status(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        check_claim_status(new, old, faults)


class ClaimTemplateRules(Rules):
    """Rules of ResourceClaimTemplates."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("metadata", {})
        default_devices((spec.get("spec") or {}).get("devices") or {})

    def prepare_create(self, obj: Object, reader: Reader) -> None:
        """See :class:`Rules`."""
        requests = _exact_requests(((obj.get("spec") or {}).get("spec") or {}).get("devices") or {})
        _admit_admin_access(CLAIM_TEMPLATES, obj, requests, "spec.devices.requests", reader)

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
        resource = obj["spec"].get("extendedResourceName")
        if resource is not None and not _is_extended_resource(resource):
            faults.invalid("spec.extendedResourceName", resource, "must be a valid extended resource name")
        config = obj["spec"].get("config") or []
        if len(config) > _MAX_REQUESTS:
            faults.too_many("spec.config", len(config), _MAX_REQUESTS)
        for i, entry in enumerate(config):
            check_config(entry, f"spec.config[{i}]", faults)
