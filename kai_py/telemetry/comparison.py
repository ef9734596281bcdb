"""What differs between two answers to one situation: under the settings and queues of today, and under others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

Json = dict[str, Any]

_NUMBERS: Final = ("fairShare", "allocated")
#: Shares that differ by less than this part of them are the same.
_NOTICEABLE: Final = 1e-6


def comparison(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    """Compare two plans, or documents that have their ``cycles`` and ``queues``.

    Args:
        before: as it is.
        after: as it would be.

    Returns:
        ``same``; ``queues``: by name and resource, numbers that differ, with null for a queue that is not there;
        ``evictions`` and ``starts``: ``more`` that only happen after, ``fewer`` that only happen before, and starts
        ``elsewhere``, on another node; ``waiting`` after the last cycle: ``more``, ``fewer``, and those for
        ``otherReasons``. Lists are sorted by name.
    """
    evictions = _sets(_evictions(before), _evictions(after))
    starts, started = _starts(before), _starts(after)
    waits, waiting = _waiting(before), _waiting(after)
    answer = {
        "queues": _queues(before["queues"], after["queues"]),
        "evictions": evictions,
        "starts": {**_sets(starts, started), "elsewhere": _elsewhere(starts, started)},
        "waiting": {**_sets(waits, waiting), "otherReasons": _other_reasons(waits, waiting)},
    }
    differs = answer["queues"] or any(found for part in list(answer.values())[1:] for found in part.values())
    return {"same": not differs, **answer}


def counts(difference: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """How many entries each list of a comparison has, by kind and change; queues count as ``("queues", "changed")``."""
    found = {
        (kind, change): len(entries)
        for kind in ("evictions", "starts", "waiting")
        for change, entries in difference[kind].items()
    }
    return {("queues", "changed"): len(difference["queues"]), **found}


def _evictions(answer: Mapping[str, Any]) -> dict[str, Json]:
    """By pod, each pod's first; who moves is not ended for good, and is told by its new node."""
    found: dict[str, Json] = {}
    for cycle in answer["cycles"]:
        for one in cycle["evictions"]:
            found.setdefault(one["pod"], one)
    return found


def _starts(answer: Mapping[str, Any]) -> dict[str, Json]:
    """By pod, where it was placed last: bound, or on capacity that is yet to be released."""
    found: dict[str, Json] = {}
    for cycle in answer["cycles"]:
        for kind, state in (("nominations", "Nominated"), ("binds", "Bound")):
            for one in cycle[kind]:
                place = {key: one[key] for key in ("pod", "node", "podGroup", "action")}
                found[one["pod"]] = {**place, "state": state}
    return found


def _waiting(answer: Mapping[str, Any]) -> dict[str, Json]:
    return {one["podGroup"]: one for one in answer["cycles"][-1]["waiting"]}


def _sets(before: Mapping[str, Json], after: Mapping[str, Json]) -> Json:
    return {
        "more": [after[name] for name in _in_order(after.keys() - before.keys())],
        "fewer": [before[name] for name in _in_order(before.keys() - after.keys())],
    }


def _elsewhere(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[Json]:
    both = _in_order(before.keys() & after.keys())
    return [
        {"pod": name, "podGroup": after[name]["podGroup"], "before": before[name]["node"], "after": after[name]["node"]}
        for name in both
        if before[name]["node"] != after[name]["node"]
    ]


def _other_reasons(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[Json]:
    both = _in_order(before.keys() & after.keys())
    return [
        {"podGroup": name, "queue": after[name]["queue"], "before": before[name]["reasons"], "reasons": found}
        for name in both
        if _codes(before[name]) != _codes(after[name]) and (found := after[name]["reasons"])
    ]


def _codes(waiting: Json) -> list[str]:
    return [reason["code"] for reason in waiting["reasons"]]


def _in_order(names: set[str]) -> list[str]:
    return sorted(names, key=lambda name: tuple(name.split("/")))


def _queues(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    found: Json = {}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if changed := _amounts(old or {}, new or {}):
            found[name] = changed
        elif old is None or new is None:  # it comes or goes, and has nothing either way
            found[name] = {}
    return found


def _amounts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    found: Json = {}
    for kind in _NUMBERS:
        olds, news = old.get(kind, {}), new.get(kind, {})
        for resource in dict.fromkeys([*olds, *news]):
            first, second = olds.get(resource), news.get(resource)
            if not _equal(first, second):
                found.setdefault(resource, {})[kind] = {"before": first, "after": second}
    return found


def _equal(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return not (first or second)  # nothing, and nothing of it, are the same
    return math.isclose(first, second, rel_tol=_NOTICEABLE, abs_tol=_NOTICEABLE)
