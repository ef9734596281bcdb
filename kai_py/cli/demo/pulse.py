"""How the scheduler's cycles go, from its metrics endpoint, as Prometheus would read it."""

from __future__ import annotations

import asyncio
from typing import Final

from kai_py.cli.bench.scraped import Samples, scrape
from kai_py.cli.failures import Failure

#: Seconds between two looks.
_EVERY: Final = 1.0


class Pulse:
    """The last numbers.

    Args:
        url: of the metrics.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._samples: Samples = {}

    async def run(self) -> None:
        """Look from time to time, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY)

    async def look(self) -> None:
        """Look now; a scheduler that does not answer keeps its last numbers."""
        try:
            self._samples = await scrape(self._url)
        except Failure:
            return

    @property
    def cycles(self) -> int:
        """How many there have been."""
        return int(self._samples.get("kai_py_cycle_seconds_count", 0))

    @property
    def milliseconds(self) -> float:
        """What one has taken on average."""
        return 1000 * self._samples.get("kai_py_cycle_seconds_sum", 0.0) / max(1, self.cycles)
