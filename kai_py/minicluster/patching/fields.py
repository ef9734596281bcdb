"""Sets of fields, as ``managedFields`` spells them: which parts of an object somebody owns.

A path is a tuple of elements: ``f:name`` for a field, ``k:{...}`` for an item of an associative list, ``v:...`` for a
member of a set. An item's own path is in the set besides those of its fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from .schema import Node

Path = tuple[str, ...]
Object = dict[str, Any]
MISSING: Final = object()

#: Fields that identify an object or belong to the server; nobody owns them.
_UNOWNED_META: Final = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
        "generateName",
    }
)


def fields_of(obj: Object, node: Node, *, without: str) -> set[Path]:
    """The paths of all that an object says.

    Args:
        obj: the object.
        node: the root of its schema.
        without: a top-level field that the request does not write, ``status`` or ``spec``; or empty.
    """
    found: set[Path] = set()
    for key, value in obj.items():
        if key in ("apiVersion", "kind", without):
            continue
        said = value
        if key == "metadata":
            said = {name: part for name, part in value.items() if name not in _UNOWNED_META}
        if said or key != "metadata":
            found.update(_walk(said, node.child(key), (f"f:{key}",)))
    return found


def _walk(value: Any, node: Node, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value and not node.is_atomic:
        for key, part in value.items():
            yield from _walk(part, node.child(key), (*path, f"f:{key}"))
    elif isinstance(value, list) and value and node.list_keys:
        for item in value:
            here = (*path, item_key(item, node))
            yield here
            for key, part in item.items():
                yield from _walk(part, node.item().child(key), (*here, f"f:{key}"))
    elif isinstance(value, list) and value and node.is_set:
        for item in value:
            yield (*path, member_key(item))
    else:
        yield path


def item_key(item: Object, node: Node) -> str:
    """The element of an associative list's item."""
    keys = {key: item.get(key, node.item().default_of(key)) for key in node.list_keys}
    return "k:" + json.dumps(keys, separators=(",", ":"), sort_keys=True)


def member_key(item: Any) -> str:
    """The element of a set's member."""
    return "v:" + json.dumps(item, separators=(",", ":"))


def value_at(obj: Any, path: Path, node: Node) -> Any:
    """What is at a path, or ``MISSING``. An item or member that is there compares equal to itself only by presence."""
    for element in path:
        kind, _, text = element.partition(":")
        if kind == "f":
            if not isinstance(obj, dict) or text not in obj:
                return MISSING
            obj, node = obj[text], node.child(text)
        elif kind == "k":
            items = obj if isinstance(obj, list) else []
            obj = next((item for item in items if item_key(item, node) == element), MISSING)
            node = node.item()
        else:
            members = obj if isinstance(obj, list) else []
            obj = next((item for item in members if member_key(item) == element), MISSING)
        if obj is MISSING:
            return MISSING
    return True if path and path[-1][0] in "kv" else obj


def remove_at(obj: Any, path: Path, node: Node) -> None:
    """Remove what is at a path, in place; containers that become empty stay."""
    parents = path[:-1]
    for element in parents:
        kind, _, text = element.partition(":")
        if kind == "f":
            if not isinstance(obj, dict) or text not in obj:
                return
            obj, node = obj[text], node.child(text)
        else:
            items = obj if isinstance(obj, list) else []
            obj = next((item for item in items if item_key(item, node) == element), None)
            node = node.item()
    kind, _, text = path[-1].partition(":")
    if kind == "f" and isinstance(obj, dict):
        obj.pop(text, None)
    elif isinstance(obj, list):
        obj[:] = [item for item in obj if (item_key(item, node) if kind == "k" else member_key(item)) != path[-1]]


def to_fields_v1(paths: Iterable[Path]) -> Object:
    """A set of paths as nested ``FieldsV1``."""
    root: Object = {}
    for path in sorted(paths):
        level = root
        for element in path:
            level = level.setdefault(element, {})
        if path[-1].startswith("k:"):
            level["."] = {}
    return root


def from_fields_v1(fields: Object, path: Path = ()) -> set[Path]:
    """The set of paths in ``FieldsV1``."""
    found: set[Path] = set()
    for element, below in fields.items():
        if element == ".":
            if path:
                found.add(path)
        elif below:
            found |= from_fields_v1(below, (*path, element))
        else:
            found.add((*path, element))
    return found


def shown(path: Path) -> str:
    """A path as it is shown to users: ``.spec.containers[name="c"].image``."""
    text = ""
    for element in path:
        kind, _, rest = element.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(rest).items()) + "]"
        else:
            text += f"[={rest}]"
    return text
