"""Timestamps of the API as numbers, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=65536)
def seconds(text: str | None) -> float:
    """Seconds since the epoch of an RFC 3339 timestamp; 0 for none, and for one that cannot be read."""
    if not text:
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def rfc3339(now: float) -> str:
    """Seconds since the epoch as the API writes them: whole seconds, UTC."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
