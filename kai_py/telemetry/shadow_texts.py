"""What other settings would change, in a sentence and in a document that fits into a ConfigMap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kai_py.telemetry.comparison import counts

Json = dict[str, Any]

#: So many entries of each list are published; a ConfigMap holds one megabyte.
LONGEST: Final = 100

_SAID: Final = (
    ("queues", "changed", "queue", "has other shares", "have other shares"),
    ("evictions", "more", "pod", "would be evicted", "would be evicted"),
    ("evictions", "fewer", "pod", "would not be evicted", "would not be evicted"),
    ("starts", "more", "pod", "would start", "would start"),
    ("starts", "fewer", "pod", "would not start", "would not start"),
    ("starts", "elsewhere", "pod", "would start elsewhere", "would start elsewhere"),
    ("waiting", "more", "podgroup", "would wait", "would wait"),
    ("waiting", "fewer", "podgroup", "would not wait", "would not wait"),
    ("waiting", "otherReasons", "podgroup", "would wait for other reasons", "would wait for other reasons"),
)


def shadow_sentence(difference: Mapping[str, Any]) -> str:
    """What a comparison comes to."""
    found = counts(difference)
    parts = [
        f"{count} {noun}{'' if count == 1 else 's'} {one if count == 1 else several}"
        for kind, change, noun, one, several in _SAID
        if (count := found[kind, change])
    ]
    if not parts:
        return "With the settings in shadow.yaml nothing would differ."
    return f"With the settings in shadow.yaml, {', '.join(parts)}."


def shortened(difference: Mapping[str, Any]) -> Json:
    """A comparison with at most 100 entries of each list, and how many there were."""
    found = counts(difference)
    lists = {
        kind: {change: entries[:LONGEST] for change, entries in difference[kind].items()}
        for kind in ("evictions", "starts", "waiting")
    }
    queues = dict(list(difference["queues"].items())[:LONGEST])
    numbers = {f"{kind}.{change}": count for (kind, change), count in found.items()}
    return {"same": difference["same"], "counts": numbers, "queues": queues, **lists}
