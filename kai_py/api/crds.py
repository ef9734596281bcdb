"""CustomResourceDefinitions, generated from the models so that the two cannot differ.

Pydantic's JSON schema becomes a structural one: references are inlined, ``null`` is not a type, titles go. Defaults
go as well: the models apply them, and an object keeps saying what its author said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import yaml

from kai_py.api.model import RULES, CustomResource
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.api.topology import Topology

Schema = dict[str, Any]

_HEADER: Final = "# Generated from kai_py/api by `kai-py generate`; edits are lost.\n"
_API_VERSION: Final = (
    "APIVersion defines the versioned schema of this representation of an object: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND: Final = (
    "Kind is the REST resource that this object represents: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
#: Keywords of JSON schema that a CRD does not have, or that say nothing there.
_DROPPED: Final = frozenset({"title", "default", "$defs", "discriminator"})
#: What a reader of the file wants to see first; all else follows, with the children last.
_ORDER: Final = ("description", "type", "format", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern")
_LAST: Final = ("required", RULES, "properties", "items", "additionalProperties")
_NUMBER_FORMATS: Final = {"integer": "int64", "number": "double"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``kubectl get``."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0

    def to_dict(self) -> Schema:
        """As the CRD wants it; priority 1 shows with ``-o wide`` only."""
        column: Schema = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return column | {"priority": self.priority} if self.priority else column


_AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")


@dataclass(frozen=True, slots=True)
class Definition:
    """What a CRD says beyond its schema."""

    model: type[CustomResource]
    plural: str
    scope: str
    columns: tuple[Column, ...]
    short_names: tuple[str, ...] = ()
    has_status: bool = True

    @property
    def singular(self) -> str:
        """The name for ``kubectl get``."""
        return self.model.kind.lower()


DEFINITIONS: Final = (
    Definition(
        Queue,
        plural="queues",
        scope="Cluster",
        short_names=("q",),
        columns=(
            Column("Priority", ".spec.priority", "integer"),
            Column("Parent", ".spec.parentQueue"),
            Column("Children", ".status.childQueues"),
            Column("DisplayName", ".spec.displayName"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status', priority=1),
            _AGE,
        ),
    ),
    Definition(
        PodGroup,
        plural="podgroups",
        scope="Namespaced",
        short_names=("pg",),
        columns=(
            Column("Queue", ".spec.queue"),
            Column("MinMember", ".spec.minMember", "integer"),
            Column("PriorityClass", ".spec.priorityClassName"),
            Column("Waiting", ".status.schedulingConditions[-1:].reason"),
            Column("Preemptibility", ".spec.preemptibility", priority=1),
            _AGE,
        ),
    ),
    Definition(
        Topology,
        plural="topologies",
        scope="Cluster",
        columns=(
            Column("Widest", ".spec.levels[0].nodeLabel"),
            Column("Narrowest", ".spec.levels[-1:].nodeLabel"),
            _AGE,
        ),
        has_status=False,
    ),
)


class _Dumper(yaml.SafeDumper):
    """YAML without anchors: people and other tools read these files."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # the base class' signature
        return True


def render() -> dict[str, str]:
    """The files of ``crds/``: name to text."""
    return {
        f"{definition.model.group}_{definition.plural}.yaml": _HEADER
        + yaml.dump(manifest(definition), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
        for definition in DEFINITIONS
    }


def manifest(definition: Definition) -> Schema:
    """The CustomResourceDefinition of a kind."""
    model = definition.model
    version: Schema = {
        "name": model.version,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.to_dict() for column in definition.columns],
        "schema": {"openAPIV3Schema": structural_schema(model)},
    }
    if definition.has_status:
        version["subresources"] = {"status": {}}
    names: Schema = {
        "kind": model.kind,
        "listKind": f"{model.kind}List",
        "plural": definition.plural,
        "singular": definition.singular,
        "categories": ["kai"],
    }
    if definition.short_names:
        names["shortNames"] = list(definition.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{definition.plural}.{model.group}"},
        "spec": {"group": model.group, "scope": definition.scope, "names": names, "versions": [version]},
    }


def structural_schema(model: type[CustomResource]) -> Schema:
    """The schema of a kind, as ``apiextensions.k8s.io/v1`` demands it."""
    raw = model.model_json_schema(by_alias=True)
    schema = _structural(raw, raw.get("$defs", {}))
    schema["properties"] = {
        "apiVersion": {"type": "string", "description": _API_VERSION},
        "kind": {"type": "string", "description": _KIND},
        **schema["properties"],
    }
    schema["required"] = [name for name in schema.get("required", []) if name != "metadata"]
    if not schema["required"]:
        del schema["required"]
    return schema


def _structural(schema: Schema, definitions: Schema) -> Schema:
    """One node of pydantic's schema, with everything below it, as a structural schema."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _structural({**target, **beside}, definitions)
    if "anyOf" in schema:  # the models have no union but "or absent"
        (kind,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
        beside = {key: value for key, value in schema.items() if key != "anyOf"}
        return _structural({**kind, **beside}, definitions)
    out = {key: value for key, value in schema.items() if key not in _DROPPED}
    _simplify(out)
    if "properties" in out:
        out["properties"] = {name: _structural(child, definitions) for name, child in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = _structural(out[key], definitions)
    if "description" in out:
        out["description"] = " ".join(out["description"].replace("``", "`").split())
    return _ordered(out)


def _ordered(schema: Schema) -> Schema:
    middle = [key for key in schema if key not in _ORDER and key not in _LAST]
    return {key: schema[key] for key in (*_ORDER, *middle, *_LAST) if key in schema}


def _simplify(schema: Schema) -> None:
    """Say in OpenAPI 3.0 what JSON schema says in newer words. Changes ``schema``."""
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if schema.get("type") in _NUMBER_FORMATS:
        schema.setdefault("format", _NUMBER_FORMATS[schema["type"]])
    if "exclusiveMaximum" in schema and schema.get("type") == "integer":
        schema["maximum"] = schema.pop("exclusiveMaximum") - 1
