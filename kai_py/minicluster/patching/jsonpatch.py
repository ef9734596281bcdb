"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386)."""

from __future__ import annotations

import copy
from typing import Any, Final

from kai_py.minicluster.refusals import RefusedError, bad_request

_MAX_OPERATIONS: Final = 10_000


class _Missing(Exception):  # noqa: N818  # an internal signal
    """The path of an operation does not exist."""


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, all else replaces. ``target`` is left as it is."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902. ``target`` is left as it is.

    Raises:
        RefusedError: 400 for a malformed patch, 413 for too many operations, 422 when an operation cannot be applied.
    """
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: a JSON patch is a list of operations")
    if len(operations) > _MAX_OPERATIONS:
        raise RefusedError(
            413, "RequestEntityTooLarge", f"The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}"
        )
    document = copy.deepcopy(target)
    for operation in operations:
        try:
            document = _apply(document, operation)
        except _Missing as error:
            raise RefusedError(
                422, "Invalid", f"the server rejected our request due to an error in our request: {error}"
            ) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise bad_request(f"error decoding patch: malformed operation {operation!r}") from error
    return document


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    path = _split(operation["path"])
    match operation["op"]:
        case "add":
            return _add(document, path, copy.deepcopy(operation["value"]))
        case "remove":
            _pop(document, path)
            return document
        case "replace":
            _get(document, path)
            if not path:
                return operation["value"]
            _pop(document, path)
            return _add(document, path, copy.deepcopy(operation["value"]))
        case "test":
            if _get(document, path) != operation["value"]:
                raise _Missing(f"testing value {operation['path']} failed")
            return document
        case "copy":
            return _add(document, path, copy.deepcopy(_get(document, _split(operation["from"]))))
        case "move":
            return _add(document, path, _pop(document, _split(operation["from"])))
    raise KeyError(operation["op"])


def _split(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(document, part, len(document) - 1)]
        else:
            raise _Missing(f"path /{'/'.join(path)} does not exist")
    return document


def _index(items: list[Any], part: str, highest: int) -> int:
    if part == "-" and highest == len(items):
        return highest
    try:
        number = int(part)
    except ValueError:
        raise _Missing(f"{part} is no index of a list") from None
    if not 0 <= number <= highest:
        raise _Missing(f"index {number} is out of range")
    return number


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        parent.insert(_index(parent, path[-1], len(parent)), value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise _Missing(f"path /{'/'.join(path)} does not exist")
    return document


def _pop(document: Any, path: list[str]) -> Any:
    _get(document, path)
    parent = _get(document, path[:-1])
    return parent.pop(_index(parent, path[-1], len(parent) - 1) if isinstance(parent, list) else path[-1])
