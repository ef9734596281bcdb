"""What to search for in which order, when the first search takes too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kai_py.core.dra.asks import Ask, Option
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.node_shares import NodeRoom
from kai_py.core.dra.preference import Preference, Size
from kai_py.core.dra.search import Found, Search, SearchStoppedError
from kai_py.core.dra.trial import Trial


class Strategy:
    """Searches for all requests in their order; if that takes too long, claim by claim, and then the hardest first.

    The order of requests comes first, because it gives earlier requests their better alternatives. A claim that finds
    nothing even alone ends the matter, and says why. What is large has few places: with that first, there are solutions
    within reach that the first order does not come to.

    Args:
        asks: all requests.
        rows: the devices of the node.
        ledger: what others have taken.
        preference: tells how large devices are.
        steps: how many devices may be tried in all.
        room: what they may take of the node; None = that is no matter.
    """

    def __init__(
        self,
        asks: Sequence[Ask],
        rows: Sequence[int],
        ledger: DeviceLedger,
        preference: Preference,
        steps: int,
        room: NodeRoom | None = None,
    ) -> None:
        self._asks = asks
        self._rows = rows
        self._ledger = ledger
        self._preference = preference
        self._claims = sorted({ask.claim for ask in asks})
        self._left = steps
        self._spent = 0
        self._room = room

    def solve(self) -> Found:
        """Search.

        Raises:
            SearchStoppedError: the steps are used up, or a selector failed.
        """
        as_written = list(range(len(self._asks)))
        hardest = sorted(as_written, key=lambda number: self._hardness(self._asks[number]))
        if len(self._claims) < 2 and hardest == as_written:
            return self._search(as_written, self._left)
        share = self._left // 4
        if (found := self._try(as_written, share)) is not None:
            return found
        for claim in self._claims if len(self._claims) > 1 else ():
            own = [number for number in hardest if self._asks[number].claim == claim]
            found = self._try(own, share // len(self._claims))
            if found is not None and not found.solved:
                return replace(found, claim=claim)
        return self._search(hardest, self._left)

    def _try(self, order: Sequence[int], budget: int) -> Found | None:
        """Search for some requests; None = it takes more steps than that."""
        try:
            return self._search(order, budget)
        except SearchStoppedError as stopped:
            if stopped.option is not None:
                raise
            return None

    def _search(self, order: Sequence[int], budget: int) -> Found:
        trial = Trial(self._ledger.inventory, self._ledger, max(self._claims, default=0) + 1, self._room)
        search = Search(self._asks, order, self._rows, trial, self._ledger, budget=budget, spent=self._spent)
        try:
            return search.run()
        finally:
            trial.clear()
            self._left -= search.steps - self._spent
            self._spent = search.steps

    def _hardness(self, ask: Ask) -> tuple[tuple[float, float], int]:
        """Sorts requests for large devices before those for small ones, and few candidates before many."""
        sizes = [self._size(option, row) for option in ask.options for row in option.candidates]
        part, bulk = min(sizes, default=(0.0, 0.0))
        return (-part, -bulk), sum(len(option.candidates) - option.needed for option in ask.options)

    def _size(self, option: Option, row: int) -> Size:
        """How large a device is for a search: of a shared one only what is taken of it."""
        capacities = self._ledger.inventory.devices[row].capacities
        parts = [amount / capacities[name].value for name, amount in option.taking(row) if amount]
        return (max(parts), 0.0) if parts else self._preference.size(row)
