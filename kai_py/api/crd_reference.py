"""``docs/reference/crds.md``, written from the schemas that the API server gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kai_py.api.crds import DEFINITIONS, Definition, Schema, structural_schema
from kai_py.api.duration import DURATION_PATTERN
from kai_py.api.model import RULES

_HEADER: Final = """\
<!-- Generated from kai_py/api by `kai-py generate`; edits are lost. -->
# Custom resources

KAI Scheduler's manifests are accepted as they are. Fields that are not listed are pruned by the API server, as always.
"""


def render_crd_reference() -> str:
    """The page, as Markdown: per kind its fields and the rules that the API server checks."""
    return _HEADER + "".join(map(_kind, DEFINITIONS))


def _kind(definition: Definition) -> str:
    model = definition.model
    schema = structural_schema(model)
    names = ", ".join(f"`{name}`" for name in (definition.plural, *definition.short_names))
    lines = [
        f"\n## {model.kind} (`{model.group}/{model.version}`)\n",
        f"{schema['description']} {definition.scope}; {names} for kubectl.\n",
        "| field | type | meaning |",
        "|---|---|---|",
        *(f"| `{path}` | {_type(node)} | {_cell(node)} |" for path, node in _fields(schema, "")),
        "",
    ]
    return "\n".join(lines)


def _fields(schema: Schema, prefix: str) -> Iterator[tuple[str, Schema]]:
    for name, node in schema.get("properties", {}).items():
        if not prefix and name not in {"spec", "status"}:
            continue
        path = f"{prefix}{name}"
        yield path, node
        inner = node.get("items", node)
        yield from _fields(inner, f"{path}{'[]' if inner is not node else ''}.")


def _type(node: Schema) -> str:
    if "enum" in node:
        return " or ".join("empty" if value == "" else f"`{value}`" for value in node["enum"])
    if node.get("pattern") == DURATION_PATTERN:
        return "duration"
    if node.get("x-kubernetes-int-or-string"):
        return "quantity"
    if node["type"] == "array":
        return f"list of {_type(node['items'])}"
    if "additionalProperties" in node:
        return f"map to {_type(node['additionalProperties'])}"
    least = f" ≥ {node['minimum']}" if node.get("minimum", -(2**31)) > -(2**31) else ""
    return f"{node['type']}{least}"


def _cell(node: Schema) -> str:
    rules = [*node.get(RULES, ()), *node.get("items", {}).get(RULES, ())]
    text = " ".join([node.get("description", ""), *(f"*Rule: {rule['message']}.*" for rule in rules)])
    return text.replace("|", "\\|").strip()
