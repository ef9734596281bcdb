"""Events have two spellings, core/v1 and events.k8s.io/v1; they are one set of objects, stored in the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]

#: events.k8s.io/v1 name → core/v1 name, where they differ.
_NAMES: Final = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_STORED: Final = {old: new for new, old in _NAMES.items()}


@dataclass(frozen=True, slots=True)
class Translation:
    """Between a served spelling and the stored one. Both directions take the object over."""

    to_stored: Callable[[Object], Object]
    to_served: Callable[[Object], Object]


def _stored(event: Object) -> Object:
    renamed = {_NAMES.get(key, key): value for key, value in event.items()}
    renamed["apiVersion"] = "v1"
    return renamed


def _served(event: Object) -> Object:
    renamed = {_STORED.get(key, key): value for key, value in event.items()}
    renamed["apiVersion"] = "events.k8s.io/v1"
    return renamed


EVENTS_API: Final = Translation(_stored, _served)
