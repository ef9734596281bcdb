"""Default priorities by kind of workload, from the ConfigMap in which KAI's users keep them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kai_py.api.podgroup import Preemptibility

#: The key of the ConfigMap's data.
TYPES_KEY: Final = "types"


@dataclass(frozen=True, slots=True)
class KindDefaults:
    """What workloads of a kind get if nobody says otherwise; empty where nothing is said.

    Attributes:
        priority_class: name of a PriorityClass.
        preemptibility: whether they may be evicted for others.
    """

    priority_class: str = ""
    preemptibility: Preemptibility = ""


class PriorityDefaults:
    """Defaults by kind.

    Args:
        entries: by ``(group, kind)``; the group is empty for "in any group".
    """

    def __init__(self, entries: Mapping[tuple[str, str], KindDefaults] | None = None) -> None:
        self._entries = dict(entries or {})

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PriorityDefaults) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(frozenset(self._entries.items()))

    def of(self, kind: tuple[str, str]) -> KindDefaults | None:
        """The defaults of a kind: of its group, or else of its name in any group."""
        return self._entries.get(kind) or self._entries.get(("", kind[1]))


NO_DEFAULTS: Final = PriorityDefaults()


def read_defaults(data: Mapping[str, Any] | None) -> tuple[PriorityDefaults, tuple[str, ...]]:
    """Read the ConfigMap's data.

    Under ``types`` is a JSON list of objects with ``typeName``, ``group``, ``priorityName`` and ``preemptibility``.

    Returns:
        The defaults, and sentences about what cannot be read; the rest counts.
    """
    text = (data or {}).get(TYPES_KEY)
    if not isinstance(text, str):
        return NO_DEFAULTS, (f"data[{TYPES_KEY}] is required, and should be text",)
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError) as error:
        return NO_DEFAULTS, (f"data[{TYPES_KEY}] is not JSON: {error}",)
    if not isinstance(listed, list):
        return NO_DEFAULTS, (f"data[{TYPES_KEY}] should be a list",)
    entries: dict[tuple[str, str], KindDefaults] = {}
    wrong: list[str] = []
    for index, entry in enumerate(listed):
        if not isinstance(entry, dict) or not _text(entry, "typeName"):
            wrong.append(f"data[{TYPES_KEY}][{index}].typeName is required")
            continue
        entries[_text(entry, "group"), _text(entry, "typeName")] = KindDefaults(
            _text(entry, "priorityName"), _preemptibility(entry, index, wrong)
        )
    return PriorityDefaults(entries), tuple(wrong)


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _preemptibility(entry: Mapping[str, Any], index: int, wrong: list[str]) -> Preemptibility:
    match _text(entry, "preemptibility").lower():
        case "preemptible" | "non-preemptible" | "" as found:
            return found
        case other:
            wrong.append(f"data[{TYPES_KEY}][{index}].preemptibility {other!r} means nothing")
            return ""
