"""``docs/reference/settings.md``, written from the models."""

from __future__ import annotations

from typing import Any, Final

import yaml

from kai_py.api.duration import DURATION_PATTERN
from kai_py.settings.keys import Key, every_key
from kai_py.settings.model import Settings

Schema = dict[str, Any]

_HEADER: Final = """\
<!-- Generated from kai_py/settings by `kai-py generate`; edits are lost. -->
# Settings

One YAML document: the key `settings.yaml` of the ConfigMap `kai-py-settings`, or the file given with `--settings`.
A key that is not listed here is refused. All faults are reported together, and the last good settings stay in
force. A key that is absent, or null, has its default. Durations are written as in `90s`, `1h30m` or `500ms`.

The defaults, as a document:

```yaml
"""


def render_settings_reference() -> str:
    """The page, as Markdown."""
    defaults = yaml.safe_dump(_defaults(), sort_keys=False, allow_unicode=True)
    return f"{_HEADER}{defaults}```\n{''.join(map(_section, every_key()))}"


def _defaults() -> dict[str, Any]:
    return Settings().model_dump(mode="json", by_alias=True, exclude_none=True)


def _section(key: Key) -> str:
    heading = f"{'#' * min(6, 2 + key.path.count('.'))} `{key.path}`"
    facts = [] if key.group is not None and "[]" not in key.path and not _is_list(key) else [_facts(key)]
    text = " ".join((key.field.description or "").split())
    return "".join(f"\n{part}\n" for part in (heading, *facts, text))


def _facts(key: Key) -> str:
    """Type and default, in one line."""
    kind = _kind(_schema(key))
    if key.field.is_required():
        return f"*{kind}; required*"
    default = key.owner.model_construct().model_dump(mode="json", by_alias=True).get(key.name)
    if default is None:
        return f"*{kind}; absent by default*"
    written = (
        yaml.safe_dump(default, default_flow_style=True, width=1000, sort_keys=False).removesuffix("...\n").strip()
    )
    return f"*{kind}; default* `{written}`"


def _is_list(key: Key) -> bool:
    return bool(_schema(key).get("type") == "array")


def _schema(key: Key) -> Schema:
    schema: Schema = key.owner.model_json_schema()["properties"][key.name]
    return schema


def _kind(schema: Schema) -> str:
    """A JSON schema in words."""
    if "anyOf" in schema:
        return _kind(next(option for option in schema["anyOf"] if option.get("type") != "null"))
    words = schema.get("enum") or [schema[key] for key in ("const",) if key in schema]
    if words:
        return " or ".join(f"`{word}`" for word in words)
    if schema.get("pattern") == DURATION_PATTERN:
        return "duration"
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    if "additionalProperties" in schema:
        keys = _kind(schema.get("propertyNames", {"type": "string"}))
        return f"map from {keys} to {_kind(schema['additionalProperties'])}"
    least = f" ≥ {schema['minimum']}" if "minimum" in schema else ""
    return f"{schema.get('type', 'object')}{least}"
