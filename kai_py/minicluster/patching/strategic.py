"""Strategic merge patch: merge patch that knows the keys of lists, with ``$patch`` and its directives."""

from __future__ import annotations

from typing import Any, Final

from kai_py.minicluster.refusals import bad_request

from .schema import Node

Object = dict[str, Any]

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
    return _ordered(merged, patch, target if isinstance(target, dict) else {}, node)


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
    merged = {item.get(key): item for item in old}
    for item in patch:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        if item.get(_DIRECTIVE) == "delete":
            merged.pop(item[key], None)
        else:
            merged[item[key]] = strategic_merge(merged.get(item[key], {}), item, node.item())
    return list(merged.values())


def _ordered(merged: Object, patch: Object, old: Object, node: Node) -> Object:
    """Put merged lists into order: what the patch names in its order, the rest in the old one, woven together."""
    for field, value in patch.items():
        child = node.child(field)
        if (
            isinstance(value, list)
            and isinstance(merged.get(field), list)
            and (child.merge_key or child.merges_scalars)
        ):
            wanted = patch.get(_ORDER + field, value)
            merged[field] = _woven(merged[field], wanted, old.get(field) or [], child.merge_key)
    return {name: value for name, value in merged.items() if value is not None}


def _woven(items: list[Any], wanted: list[Any], old: list[Any], key: str) -> list[Any]:
    def identity(item: Any) -> Any:
        return item.get(key) if key else item

    found = {identity(item): item for item in items}
    named = [identity(item) for item in wanted if identity(item) in found]
    places = {identity(item): place for place, item in enumerate(old)}
    rest = [name for name in found if name not in named]
    order: list[Any] = []
    for name in named:
        # An item that the old list did not have comes before all that is left of it.
        while rest and name in places and places.get(rest[0], len(places)) < places[name]:
            order.append(rest.pop(0))
        order.append(name)
    return [found[name] for name in order + rest]
