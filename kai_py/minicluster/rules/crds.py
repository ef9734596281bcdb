"""CustomResourceDefinitions: what is checked of them, and that they are established at once."""

from __future__ import annotations

from typing import Any, Final

from kai_py.minicluster.metadata import check_label_name, is_subdomain, now
from kai_py.minicluster.refusals import Faults
from kai_py.minicluster.schemas.expressions import check_rules

from .base import Object, Reader, Rules

FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
_SCOPES: Final = frozenset({"Cluster", "Namespaced"})
_UNTYPED: Final = ("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")


class DefinitionRules(Rules):
    """Rules of CustomResourceDefinitions."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        spec = obj.get("spec") or {}
        names = spec.get("names") or {}
        if names.get("kind"):
            names.setdefault("singular", names["kind"].lower())
            names.setdefault("listKind", f"{names['kind']}List")
        spec.setdefault("conversion", {"strategy": "None"})

    def prepare_create(self, obj: Object, _reader: Reader) -> None:
        """Accept the names and establish at once; a real server takes a moment."""
        spec = obj.get("spec") or {}
        stored = [version["name"] for version in spec.get("versions") or () if version.get("storage")]
        conditions = [
            {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found"},
            {
                "type": "Established",
                "status": "True",
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
            },
        ]
        obj["status"] = {
            "conditions": [condition | {"lastTransitionTime": now()} for condition in conditions],
            "acceptedNames": spec.get("names"),
            "storedVersions": stored,
        }
        meta = obj["metadata"]
        meta["finalizers"] = [*(meta.get("finalizers") or ()), FINALIZER]

    def prepare_update(self, new: Object, old: Object, _reader: Reader) -> None:
        """Names and stored versions follow the spec."""
        status = dict(old.get("status") or {})
        status["acceptedNames"] = new["spec"]["names"]
        stored = [version["name"] for version in new["spec"]["versions"] if version["storage"]]
        status["storedVersions"] = list(dict.fromkeys([*status.get("storedVersions", ()), *stored]))
        new["status"] = status

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        spec, names = obj["spec"], obj["spec"]["names"]
        wanted = f"{names.get('plural')}.{spec['group']}"
        if obj["metadata"]["name"] != wanted:
            faults.invalid("metadata.name", obj["metadata"]["name"], 'must be spec.names.plural+"."+spec.group')
        if not is_subdomain(spec["group"]) or "." not in spec["group"]:
            faults.invalid("spec.group", spec["group"], "should be a domain with at least one dot")
        for key in ("plural", "singular"):
            if names.get(key):
                check_label_name(names[key], f"spec.names.{key}", faults)
        if spec["scope"] not in _SCOPES:
            faults.not_supported("spec.scope", spec["scope"], _SCOPES)
        if sum(bool(version.get("storage")) for version in spec["versions"]) != 1:
            faults.invalid("spec.versions", spec["versions"], "must have exactly one version marked as storage version")
        for i, version in enumerate(spec["versions"]):
            here = f"spec.versions[{i}].schema.openAPIV3Schema"
            schema = (version.get("schema") or {}).get("openAPIV3Schema")
            if schema is None:
                faults.required(here, "schemas are required")
            elif schema.get("type") != "object":
                faults.invalid(f"{here}.type", schema.get("type", ""), "must be object at the root")
            else:
                _check_structural(schema, here, faults)
                check_rules(schema, here, faults)

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        for key in ("group", "scope"):
            if new["spec"][key] != old["spec"][key]:
                faults.invalid(f"spec.{key}", new["spec"][key], "field is immutable")
        for key in ("plural", "kind"):
            if new["spec"]["names"][key] != old["spec"]["names"][key]:
                faults.invalid(f"spec.names.{key}", new["spec"]["names"][key], "field is immutable")


def _check_structural(schema: Any, path: str, faults: Faults) -> None:
    """Every field has a type, and an object is either closed or a map."""
    if not schema.get("type") and not any(schema.get(mark) for mark in _UNTYPED):
        faults.required(f"{path}.type", "must not be empty for specified object fields")
    if schema.get("properties") and isinstance(schema.get("additionalProperties"), dict | bool):
        faults.forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    for key, sub in (schema.get("properties") or {}).items():
        if key != "metadata":
            _check_structural(sub, f"{path}.properties[{key}]", faults)
    if isinstance(schema.get("additionalProperties"), dict):
        _check_structural(schema["additionalProperties"], f"{path}.additionalProperties", faults)
    if schema.get("type") == "array":
        if not isinstance(schema.get("items"), dict):
            faults.required(f"{path}.items", "must be specified")
        else:
            _check_structural(schema["items"], f"{path}.items", faults)
