"""How old what an object says is: since when something waits, and as of when its numbers are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kai_py.cluster.encode.times import seconds

Object = Mapping[str, Any]  # JSON of an API object
Row = tuple[str, str]

_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_UNKNOWN: Final = "as of when the scheduler last wrote them; what nodes and queues hold may have changed since"


def ages(obj: Object, field: str, condition: Object, now: float | None, *, numbers: bool) -> Iterator[Row]:
    """Rows about the age of a condition.

    A condition keeps its ``lastTransitionTime`` while its text is written anew: it says since when something waits,
    not how old its numbers are. That is told by ``metadata.managedFields``, where the API server keeps them.

    Args:
        obj: that has the condition.
        field: of its status that holds the condition.
        condition: the one that is shown.
        now: seconds since the epoch; without it, there are no ages.
        numbers: whether the condition's text has any.
    """
    since = str(condition.get("lastTransitionTime") or "")
    if since:
        yield "since", since if now is None else _dated(since, now)
    if numbers and now is not None:
        written = _written(obj, field)
        yield "numbers", f"as of {_dated(written, now)}" if written else _UNKNOWN


def ago(elapsed: float) -> str:
    """A time that has passed, in its largest whole unit: ``3 minutes ago``.

    Args:
        elapsed: seconds; less than one is ``just now``, as is what another clock dates into the future.
    """
    for unit, size in _UNITS:
        if (count := int(elapsed // size)) > 0:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def _dated(written: str, now: float) -> str:
    moment = seconds(written)
    return f"{written} ({ago(now - moment)})" if moment else written


def _written(obj: Object, field: str) -> str:
    """When a field of the status was last written; empty if the API server does not say."""
    metadata = obj.get("metadata")
    entries = metadata.get("managedFields") if isinstance(metadata, Mapping) else None
    times = [str(one.get("time") or "") for one in entries or () if isinstance(one, Mapping) and _owns(one, field)]
    return max(times, key=seconds, default="")


def _owns(entry: Object, field: str) -> bool:
    fields = entry.get("fieldsV1")
    status = fields.get("f:status") if isinstance(fields, Mapping) else None
    return isinstance(status, Mapping) and f"f:{field}" in status
