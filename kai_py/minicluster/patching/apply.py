"""Server-side apply: merge what a manager wants into an object, and keep account of who owns which field.

Ownership is recorded from the first apply on; an object that nobody ever applied carries no ``managedFields``. What it
had before then belongs to ``before-first-apply``, or to ``kubectl-client-side-apply`` if that made it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Final

from kai_py.minicluster.metadata import now
from kai_py.minicluster.refusals import Cause, RefusedError

from .fields import (
    MISSING,
    Path,
    fields_of,
    from_fields_v1,
    item_key,
    member_key,
    remove_at,
    shown,
    to_fields_v1,
    value_at,
)
from .schema import Node

Object = dict[str, Any]
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Manager:
    """Whoever writes: its name, how it writes, and through which subresource."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one manager owns."""

    manager: Manager
    paths: frozenset[Path]
    time: str


def apply(live: Object, applied: Object, node: Node, manager: Manager, *, has_status: bool, force: bool) -> Object:
    """The live object with a manager's wishes merged in, and ``managedFields`` brought up to date.

    Raises:
        RefusedError: 409, others own fields that would change, and ``force`` is not set.
    """
    without = ("spec" if manager.subresource else "status") if has_status else ""
    wanted = fields_of(applied, node, without=without)
    claims = _claims(live)
    if not claims and live["metadata"].get("uid"):
        claims = [_first_claim(live, node)]
    mine = next((claim for claim in claims if claim.manager == manager), None)
    others = [claim for claim in claims if claim.manager != manager]
    contested = {path for path in wanted if _differs(live, applied, path, node)}
    conflicts = [(claim, sorted(claim.paths & contested)) for claim in others if claim.paths & contested]
    if conflicts and not force:
        raise _conflict(conflicts)
    others = [replace(claim, paths=claim.paths - contested) for claim in others]
    merged = _merge(live, applied, node, without)
    if mine is not None:
        _drop_abandoned(merged, mine.paths - wanted, others, node)
    unchanged = mine is not None and mine.paths == wanted
    claim = _Claim(manager, frozenset(wanted), mine.time if unchanged and mine else now())
    _write_claims(merged, [*others, claim])
    return merged


def record_update(new: Object, old: Object, node: Node, manager: Manager) -> None:
    """Account for a plain write to an object whose ownership is recorded; in place.

    What changed now belongs to the writer; what is gone belongs to nobody.
    """
    claims = _claims(old)
    if not claims:
        return
    before, after = fields_of(old, node, without=""), fields_of(new, node, without="")
    changed = {path for path in after if path not in before or _differs(old, new, path, node)}
    gone = before - after
    if not changed and not gone:
        return
    mine = next((claim for claim in claims if claim.manager == manager), None)
    kept = [replace(claim, paths=claim.paths - changed - gone) for claim in claims if claim is not mine]
    owned = ((mine.paths if mine else frozenset()) - gone) | changed
    _write_claims(new, [*kept, _Claim(manager, owned, now())])


def _differs(one: Object, other: Object, path: Path, node: Node) -> bool:
    there, here = value_at(one, path, node), value_at(other, path, node)
    return there is MISSING or there != here


def _first_claim(live: Object, node: Node) -> _Claim:
    made_by_kubectl = _LAST_APPLIED in (live["metadata"].get("annotations") or {})
    name = "kubectl-client-side-apply" if made_by_kubectl else "before-first-apply"
    manager = Manager(name, "Update", live["apiVersion"])
    return _Claim(manager, frozenset(fields_of(live, node, without="")), now())


def _claims(obj: Object) -> list[_Claim]:
    claims = []
    for entry in obj["metadata"].get("managedFields") or ():
        manager = Manager(
            entry.get("manager", ""), entry["operation"], entry.get("apiVersion", ""), entry.get("subresource", "")
        )
        claims.append(_Claim(manager, frozenset(from_fields_v1(entry.get("fieldsV1") or {})), entry.get("time", "")))
    return claims


def _write_claims(obj: Object, claims: list[_Claim]) -> None:
    entries = []
    for claim in claims:
        if not claim.paths:
            continue
        entry = {
            "manager": claim.manager.name,
            "operation": claim.manager.operation,
            "apiVersion": claim.manager.api_version,
            "time": claim.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(claim.paths),
        }
        if claim.manager.subresource:
            entry["subresource"] = claim.manager.subresource
        entries.append({key: value for key, value in entry.items() if value != ""})
    obj["metadata"]["managedFields"] = entries


def _conflict(conflicts: list[tuple[_Claim, list[Path]]]) -> RefusedError:
    causes = [
        Cause("FieldManagerConflict", shown(path), f"conflict with {_described(claim)}")
        for claim, paths in conflicts
        for path in paths
    ]
    count = len(causes)
    if count == 1:
        text = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
    else:
        lists = [
            "\n- ".join((f"conflicts with {_described(claim)}:", *map(shown, paths))) for claim, paths in conflicts
        ]
        text = f"Apply failed with {count} conflicts: " + "\n".join(lists)
    return RefusedError(409, "Conflict", text, causes=causes)


def _described(claim: _Claim) -> str:
    manager = claim.manager
    through = f' with subresource "{manager.subresource}"' if manager.subresource else ""
    how = f" using {manager.api_version} at {claim.time}" if manager.operation == "Update" else ""
    return f'"{manager.name}"{through}{how}'


def _merge(live: Object, applied: Object, node: Node, without: str) -> Object:
    wanted = {key: value for key, value in applied.items() if key != without}
    wanted["metadata"] = {key: value for key, value in applied["metadata"].items() if key != "managedFields"}
    merged: Object = _merge_value(live, wanted, node)
    return merged


def _merge_value(old: Any, new: Any, node: Node) -> Any:
    if isinstance(new, dict) and isinstance(old, dict) and not node.is_atomic:
        merged = dict(old)
        for key, value in new.items():
            merged[key] = _merge_value(old.get(key), value, node.child(key))
        return merged
    if isinstance(new, list) and isinstance(old, list):
        if node.list_keys:
            return _merge_items(old, new, node)
        if node.is_set:
            known = {member_key(item) for item in old}
            return old + [item for item in new if member_key(item) not in known]
    return copy.deepcopy(new)


def _merge_items(old: list[Any], new: list[Any], node: Node) -> list[Any]:
    wanted = {item_key(item, node): item for item in new}
    known = {item_key(item, node) for item in old}
    merged = [
        _merge_value(item, wanted[key], node.item()) if (key := item_key(item, node)) in wanted else item
        for item in old
    ]
    return merged + [copy.deepcopy(item) for key, item in wanted.items() if key not in known]


def _drop_abandoned(merged: Object, abandoned: frozenset[Path], others: list[_Claim], node: Node) -> None:
    """Remove what the manager no longer asks for, unless somebody else owns it or something inside it."""
    held = {path[:end] for claim in others for path in claim.paths for end in range(1, len(path) + 1)}
    for path in sorted(abandoned, key=len):  # an item before its fields: without its key it is not found
        if path not in held:
            remove_at(merged, path, node)
