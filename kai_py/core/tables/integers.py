"""Integers as labels, taints and tolerations spell them."""

from __future__ import annotations

import re

_DECIMAL = re.compile(r"[+-]?[0-9]+")
_INT64 = 2**63


def parse_int64(text: str) -> int | None:
    """Read what Go's ``strconv.ParseInt(text, 10, 64)`` reads; None for all else, where ``int`` is more generous."""
    if _DECIMAL.fullmatch(text) is None:
        return None
    value = int(text) if len(text) < 30 else _INT64  # far beyond int64, whatever it is
    return value if -_INT64 <= value < _INT64 else None
