"""Strategic merge patch: merge patch that knows the keys of lists, with ``$patch`` and its directives."""

from __future__ import annotations

from typing import Any, Final

from kai_py.minicluster.refusals import bad_request

from .schema import Node

_DIRECTIVE: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_DELETE_SCALARS: Final = "$deleteFromPrimitiveList/"
_ORDER: Final = "$setElementOrder/"


def strategic_merge(target: Any, patch: Any, node: Node) -> Any:
    """Apply a strategic merge patch to an object. ``target`` is left as it is.

    Raises:
        RefusedError: 400, the patch has an unknown directive or an item without its merge key.
    """
    if not isinstance(patch, dict):
        return patch
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"Unknown patch type found: {directive}")
    merged = dict(target) if isinstance(target, dict) else {}
    if _RETAIN in patch:
        merged = {key: value for key, value in merged.items() if key in patch[_RETAIN]}
    for key, value in patch.items():
        if key.startswith(_DELETE_SCALARS):
            field = key.removeprefix(_DELETE_SCALARS)
            merged[field] = [item for item in merged.get(field) or () if item not in value]
        elif key in (_DIRECTIVE, _RETAIN) or key.startswith(_ORDER):
            continue
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge_field(merged.get(key), value, node.child(key))
    return _ordered(merged, patch, node)


def _merge_field(old: Any, value: Any, node: Node) -> Any:
    if isinstance(value, list):
        if node.merge_key:
            return _merge_list(old or [], value, node)
        if node.merges_scalars:
            return list(dict.fromkeys([*(old or ()), *value]))
        return value
    if isinstance(value, dict) and value.get(_DIRECTIVE) == "delete":
        return None
    return strategic_merge(old, value, node)


def _merge_list(old: list[Any], patch: list[Any], node: Node) -> list[Any]:
    key = node.merge_key
    if any(item.get(_DIRECTIVE) == "replace" for item in patch):
        return [item for item in patch if _DIRECTIVE not in item]
    merged = list(old)
    for item in patch:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        if item.get(_DIRECTIVE) == "delete":
            merged = [existing for existing in merged if existing.get(key) != item[key]]
            continue
        for i, existing in enumerate(merged):
            if existing.get(key) == item[key]:
                merged[i] = strategic_merge(existing, item, node.item())
                break
        else:
            merged.append(strategic_merge({}, item, node.item()))
    return merged


def _ordered(merged: dict[str, Any], patch: dict[str, Any], node: Node) -> dict[str, Any]:
    """Put lists into the order that ``$setElementOrder`` asks for; items it does not name keep theirs, at the end."""
    for directive, wanted in patch.items():
        field = directive.removeprefix(_ORDER)
        if field == directive or not isinstance(merged.get(field), list):
            continue
        key = node.child(field).merge_key
        places = {item[key] if key else item: place for place, item in enumerate(wanted)}
        merged[field] = sorted(merged[field], key=lambda item: places.get(item.get(key) if key else item, len(places)))
    return {name: value for name, value in merged.items() if value is not None}
