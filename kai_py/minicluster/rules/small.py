"""Kinds with few rules: budgets, leases, events, configuration, services, storage, device-free classes."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from typing import Final

from kai_py.minicluster.metadata import check_qualified_name
from kai_py.minicluster.quantities import amount
from kai_py.minicluster.refusals import Faults

from .base import Object, Reader, Rules
from .pod_spec import check_label_selector

_ALL: Final = 100
_MAX_NOTE: Final = 1024
_EVENT_TYPES: Final = frozenset({"Normal", "Warning"})
_MAX_CONFIG: Final = 1024 * 1024


class BudgetRules(Rules):
    """Rules of PodDisruptionBudgets."""

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        spec = obj.get("spec") or {}
        if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
            faults.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
        for key in ("minAvailable", "maxUnavailable"):
            value = spec.get(key)
            if isinstance(value, int) and value < 0:
                faults.invalid(f"spec.{key}", value, "must be greater than or equal to 0")
            if isinstance(value, str) and not (value.endswith("%") and value[:-1].isdecimal()):
                faults.invalid(
                    f"spec.{key}", value, "a valid percent string must be a numeric string followed by an ending '%'"
                )
            elif isinstance(value, str) and int(value[:-1]) > _ALL:
                faults.invalid(f"spec.{key}", value, f"must not be greater than {_ALL}%")
        check_label_selector(spec.get("selector") or {}, "spec.selector", faults)
        policy = spec.get("unhealthyPodEvictionPolicy")
        if policy not in (None, "IfHealthyBudget", "AlwaysAllow"):
            faults.not_supported("spec.unhealthyPodEvictionPolicy", policy, ("IfHealthyBudget", "AlwaysAllow"))


class LeaseRules(Rules):
    """Rules of Leases."""

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        spec = obj.get("spec") or {}
        if spec.get("leaseDurationSeconds", 1) <= 0:
            faults.invalid("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
        if spec.get("leaseTransitions", 0) < 0:
            faults.invalid("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0")


class EventRules(Rules):
    """Rules of core/v1 Events: lenient, unless the event has an ``eventTime``."""

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        _check_regarding(obj, faults)
        if obj.get("eventTime"):
            _check_new_event(obj, faults)


class NewEventRules(Rules):
    """Rules of events.k8s.io/v1 Events. They see the stored spelling, and name fields as the client does."""

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        _check_regarding(obj, faults)
        if not obj.get("eventTime"):
            faults.required("eventTime")
            return
        if obj.get("type") not in _EVENT_TYPES:
            faults.invalid("type", obj.get("type", ""), "has invalid value: ")
        for key in ("count", "firstTimestamp", "lastTimestamp", "source"):
            if obj.get(key):
                faults.invalid(f"deprecated{key[0].upper()}{key[1:]}", "", "needs to be unset")
        _check_new_event(obj, faults)


def _check_regarding(obj: Object, faults: Faults) -> None:
    namespace, regarding = obj["metadata"]["namespace"], obj.get("involvedObject") or {}
    about = regarding.get("namespace", "")
    strict = about and not obj.get("eventTime")  # a real server lets new-style events be about other namespaces
    if (strict and about != namespace) or (not about and namespace != "default"):
        faults.invalid("involvedObject.namespace", about, "does not match event.namespace")


def _check_new_event(obj: Object, faults: Faults) -> None:
    controller = obj.get("reportingComponent", "")
    if not controller:
        faults.required("reportingController")
    else:
        check_qualified_name(controller, "reportingController", faults)
    for key in ("reportingInstance", "action", "reason"):
        if not obj.get(key):
            faults.required(key)
        elif len(obj[key]) > 128:
            faults.invalid(key, "", "can have at most 128 characters")
    if len(obj.get("message", "")) > _MAX_NOTE:
        faults.invalid("message", "", f"can have at most {_MAX_NOTE} characters")


class ConfigRules(Rules):
    """Rules of ConfigMaps and Secrets: size, and what ``immutable`` forbids."""

    def __init__(self, *, secret: bool) -> None:
        self._secret = secret

    def default(self, obj: Object) -> None:
        """Secrets have a type; ``stringData`` becomes ``data``."""
        if not self._secret:
            return
        obj.setdefault("type", "Opaque")
        texts = obj.pop("stringData", None) or {}
        if texts:
            encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
            obj["data"] = (obj.get("data") or {}) | encoded

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        for part in ("data", "binaryData"):
            for key in obj.get(part) or ():
                if not key or len(key) > 253 or not all(c.isalnum() or c in "-_." for c in key):
                    faults.invalid(
                        f"{part}[{key}]",
                        key,
                        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                    )
        if sum(len(value) for part in ("data", "binaryData") for value in (obj.get(part) or {}).values()) > _MAX_CONFIG:
            faults.too_long("", _MAX_CONFIG)

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        if self._secret and new["type"] != old["type"]:
            faults.invalid("type", new["type"], "field is immutable")
        if old.get("immutable"):
            for key in ("immutable", "data", "binaryData"):
                if new.get(key) != old.get(key):
                    faults.forbidden(key, "field is immutable when `immutable` is set")


class ServiceRules(Rules):
    """Rules of Services: an address each, and nothing behind it."""

    def __init__(self) -> None:
        self._addresses: Iterator[str] = (f"10.96.{i // 256 % 256}.{i % 256}" for i in itertools.count(1))

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
        if spec["type"] != "ExternalName":
            for key, value in (("internalTrafficPolicy", "Cluster"), ("ipFamilyPolicy", "SingleStack")):
                spec.setdefault(key, value)
            spec.setdefault("ipFamilies", ["IPv4"])

    def prepare_create(self, obj: Object, _reader: Reader) -> None:
        """See :class:`Rules`."""
        spec = obj["spec"]
        if spec["type"] != "ExternalName":
            spec.setdefault("clusterIP", next(self._addresses))
            spec.setdefault("clusterIPs", [spec["clusterIP"]])
        obj["status"] = {"loadBalancer": {}}

    def prepare_update(self, new: Object, old: Object, _reader: Reader) -> None:
        """See :class:`Rules`."""
        for key in ("clusterIP", "clusterIPs"):
            if key in old["spec"]:
                new["spec"].setdefault(key, old["spec"][key])

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        spec = obj["spec"]
        if not spec.get("ports") and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
            faults.required("spec.ports")
        for i, port in enumerate(spec.get("ports") or ()):
            if not 0 < port.get("port", 0) <= 65535:
                faults.invalid(f"spec.ports[{i}].port", port.get("port", 0), "must be between 1 and 65535, inclusive")

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        if new["spec"].get("clusterIP") != old["spec"].get("clusterIP"):
            faults.invalid("spec.clusterIP", new["spec"].get("clusterIP"), "field is immutable")


class VolumeClaimRules(Rules):
    """Rules of PersistentVolumeClaims."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")

    def prepare_create(self, obj: Object, _reader: Reader) -> None:
        """See :class:`Rules`."""
        obj["status"] = {"phase": "Pending"}

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        spec = obj["spec"]
        if not spec.get("accessModes"):
            faults.required("spec.accessModes", "at least 1 access mode is required")
        storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
        if storage is None:
            faults.required("spec.resources[storage]")
        elif amount(storage) <= 0:
            faults.invalid("spec.resources[storage]", storage, "must be greater than zero")

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        before, after = dict(old["spec"]), dict(new["spec"])
        if not before.get("volumeName"):
            after.pop("volumeName", None)
        for key in ("resources", "volumeAttributesClassName"):
            before.pop(key, None)
            after.pop(key, None)
        if before != after:
            faults.forbidden(
                "spec",
                "spec is immutable after creation except resources.requests and"
                " volumeAttributesClassName for bound claims",
            )


class VolumeRules(Rules):
    """Rules of PersistentVolumes."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
        spec.setdefault("volumeMode", "Filesystem")

    def prepare_create(self, obj: Object, _reader: Reader) -> None:
        """See :class:`Rules`."""
        obj["status"] = {"phase": "Pending"}

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        if not obj["spec"].get("accessModes"):
            faults.required("spec.accessModes")
        if not (obj["spec"].get("capacity") or {}).get("storage"):
            faults.required("spec.capacity")


class StorageClassRules(Rules):
    """Rules of StorageClasses."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        obj.setdefault("reclaimPolicy", "Delete")
        obj.setdefault("volumeBindingMode", "Immediate")

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        for key in ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"):
            if new.get(key) != old.get(key):
                faults.forbidden(key, "updates to " + key + " are forbidden.")
