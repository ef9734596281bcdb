"""Keeps the taints that follow from a node's state: not ready, unreachable, unschedulable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kai_py.minicluster.kinds import NODES, Kind
from kai_py.minicluster.metadata import now
from kai_py.minicluster.storage import Storage
from kai_py.minicluster.store import Change, Object

from .loop import Loop

_PREFIX: Final = "node.kubernetes.io/"
_OWN: Final = frozenset({"not-ready", "unreachable", "unschedulable"})


class NodeTaints:
    """Adds and removes the NoSchedule taints of the node lifecycle controller."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.loop: Loop[str] = Loop(self._due, self._handle)

    def _due(self, kind: Kind, change: Change) -> Iterable[str]:
        if kind.key == NODES.key and change.type != "DELETED":
            yield change.entry.name

    def _handle(self, name: str) -> None:
        node = self._storage.find(NODES.key, name)
        if node is None:
            return
        wanted = _wanted(node)
        taints = node["spec"].get("taints") or []
        kept = [taint for taint in taints if not _is_own(taint) or taint["key"].removeprefix(_PREFIX) in wanted]
        present = {taint["key"].removeprefix(_PREFIX) for taint in kept if _is_own(taint)}
        added = [
            {"key": _PREFIX + word, "effect": "NoSchedule", "timeAdded": now()} for word in sorted(wanted - present)
        ]
        if added or len(kept) < len(taints):
            self._storage.patch(NODES.key, name, {"spec": {"taints": kept + added or None}})


def _is_own(taint: Object) -> bool:
    key: str = taint["key"]
    return taint["effect"] == "NoSchedule" and key.startswith(_PREFIX) and key.removeprefix(_PREFIX) in _OWN


def _wanted(node: Object) -> set[str]:
    ready = next((c["status"] for c in node["status"].get("conditions") or () if c["type"] == "Ready"), "")
    taints = {"False": {"not-ready"}, "Unknown": {"unreachable"}, "True": set()}.get(ready, {"not-ready"})
    return taints | ({"unschedulable"} if node["spec"].get("unschedulable") else set())


async def keep_node_taints(storage: Storage) -> None:
    """Run the taint controller."""
    await NodeTaints(storage).loop.run(storage)
