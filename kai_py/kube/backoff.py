"""How long to wait before the next try."""

from __future__ import annotations

import random


class Backoff:
    """Exponential waiting with jitter, so that a thousand clients of a restarted server do not return at once.

    Args:
        first: the longest first wait, in seconds.
        ceiling: no wait is longer.
    """

    def __init__(self, first: float = 0.5, ceiling: float = 30.0) -> None:
        self._first = first
        self._ceiling = ceiling
        self._next = first

    def delay(self) -> float:
        """Seconds to wait now: between half of the current step and all of it. The next step is twice as long."""
        step, self._next = self._next, min(self._next * 2, self._ceiling)
        return step * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret

    def reset(self) -> None:
        """What was tried has worked: start over with short waits."""
        self._next = self._first
