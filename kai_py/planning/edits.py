"""Edits on top of a live cluster: what if this were so?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kai_py.planning.manifests import Manifest, Sourced, namespace_of, unpacked

_Identity = tuple[str, str, str, str]


def with_edits(objects: Iterable[Sourced], edits: Iterable[Sourced]) -> list[Sourced]:
    """Objects with edits merged in, by group, kind, namespace and name.

    An edit is merged as ``kubectl patch --type=merge`` does it: what it names is replaced, lists as a whole; null
    removes a field. One whose object does not exist is a new object. Two edits of one object are for the reader of the
    answer to complain about: both are in it.
    """
    answer = list(objects)
    rows = {_identity(one.manifest): row for row, one in enumerate(answer)}
    for edit in unpacked(edits):
        row = rows.pop(_identity(edit.manifest), None)
        if row is None:
            answer.append(edit)
        else:
            answer[row] = Sourced(_merged(answer[row].manifest, edit.manifest), edit.source)
    return answer


def _identity(manifest: Manifest) -> _Identity | None:
    """Which object a manifest is; None for what is none."""
    meta = manifest.get("metadata") if isinstance(manifest, Mapping) else None
    if not isinstance(meta, Mapping):
        return None
    group = str(manifest.get("apiVersion", "")).rpartition("/")[0]
    return group, str(manifest.get("kind", "")), namespace_of(manifest), str(meta.get("name", ""))


def _merged(old: Any, new: Any) -> Any:
    """RFC 7386."""
    if not isinstance(new, Mapping):
        return new
    merged = dict(old) if isinstance(old, Mapping) else {}
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
