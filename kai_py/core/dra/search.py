"""Depth-first search for devices: requests in the order of their claims, devices best first, first success wins.

It starts out naive, because most claims find their devices at once. At the first dead end it begins to think:
interchangeable devices are tried once (``symmetry``), situations that led nowhere are remembered (``mind``), and what
remains must pass some proofs (``bounds``) before it is searched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from kai_py.core.dra.asks import Ask, Option
from kai_py.core.dra.claims import MAX_DEVICES
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.mind import Mind
from kai_py.core.dra.symmetry import Kind
from kai_py.core.dra.trial import Trial

#: A level of the search: makes a choice, yields the level below it, and undoes the choice when it is asked for more.
_Level = Iterator["_Level | None"]
#: What the last level yields.
_DONE: Final = None


class SearchStoppedError(Exception):
    """The search cannot go on: its budget is used up, or a selector failed (with the option, device and claim)."""

    def __init__(self, steps: int, option: Option | None = None, device: int = -1, claim: int = 0) -> None:
        super().__init__()
        self.steps = steps
        self.option = option
        self.device = device
        self.claim = claim


class Placed(NamedTuple):
    """What a request got: the number of the alternative, and devices in the order in which they were chosen."""

    alternative: int
    devices: tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        solved: whether there is a solution.
        placed: per request that was searched for, ascending by its number; empty if there is no solution.
        steps: how many devices were tried.
        against_constraint: (claim, option) of all devices that could not be had because of a constraint.
        claim: the one that alone finds nothing; -1 = that is not known of any.
    """

    solved: bool
    placed: tuple[Placed, ...]
    steps: int
    against_constraint: tuple[int, Option] | None = None
    claim: int = -1


class Search:
    """One search.

    Args:
        asks: all requests.
        order: numbers of the requests that are searched for, in the order in which they are served.
        rows: the devices of the node.
        trial: empty; what is taken is in there.
        ledger: what others have taken.
        budget: how many devices may be tried.
        spent: how many were tried before, to be told.

    Attributes:
        steps: how many devices were tried.
    """

    def __init__(
        self,
        asks: Sequence[Ask],
        order: Sequence[int],
        rows: Sequence[int],
        trial: Trial,
        ledger: DeviceLedger,
        *,
        budget: int,
        spent: int = 0,
    ) -> None:
        self._asks = [asks[number] for number in order]
        self._slot = sorted(range(len(order)), key=order.__getitem__)
        self._rows = rows
        self._trial = trial
        self._ledger = ledger
        self.steps = spent
        self._most = spent + budget
        self._chosen = [0] * len(order)
        self._counts: dict[int, int] = {}
        self._against: tuple[int, Option] | None = None
        self._mind: Mind | None = None
        self._impossible = False

    def run(self) -> Found:
        """Search.

        Raises:
            SearchStoppedError: see there.
        """
        levels: list[_Level] = [self._enter(0)]
        while levels:
            for level in levels[-1]:
                if level is _DONE:
                    return Found(True, self._placed(), self.steps)
                levels.append(level)
                break
            else:
                levels.pop()
        return Found(False, (), self.steps, self._against)

    def _placed(self) -> tuple[Placed, ...]:
        picks = iter(self._trial.picks)
        placed = [
            Placed(row, tuple(next(picks).device for _ in range(ask.options[row].needed)))
            for ask, row in zip(self._asks, self._chosen, strict=True)
        ]
        return tuple(placed[slot] for slot in self._slot)

    def _enter(self, number: int) -> _Level:
        """A request: its alternatives, the first one first."""
        if number == len(self._asks):
            yield _DONE
            return
        situation = None
        if self._mind is not None:
            situation = self._mind.situation(number)
            if self._mind.hopeless(number, situation):
                return
        ask = self._asks[number]
        for row, option in enumerate(ask.options):
            if self._counts.get(ask.claim, 0) + option.needed > MAX_DEVICES:
                continue
            self._chosen[number] = row
            yield self._all(number, option) if option.takes_all else self._one(number, option, 0, 0)
            if self._impossible:
                return
        if self._mind is not None and situation is not None:
            self._mind.remember(number, situation)

    def _one(self, number: int, option: Option, taken: int, start: int) -> _Level:
        """The next device of a request; only those behind the last one, so that no set of devices is tried twice."""
        ask, candidates = self._asks[number], option.candidates
        last = len(candidates) - (option.needed - taken - 1)
        failed: set[Kind] = set()
        for place in range(start, last):
            device = candidates[place]
            if failed and self._think().symmetry.kind(device) in failed:
                continue
            if not self._take(ask, option, device):
                continue
            if taken + 1 == option.needed:
                yield self._enter(number + 1)
            else:
                yield self._one(number, option, taken + 1, place + 1)
            self._undo(ask)
            failed.add(self._think().symmetry.kind(device))
            if self._impossible:
                return

    def _all(self, number: int, option: Option) -> _Level:
        """All devices of a request, or none."""
        ask, taken = self._asks[number], 0
        if option.tainted:
            return
        for device in option.candidates:
            if not self._take(ask, option, device):
                self._note(ask, option, device)
                break
            taken += 1
        else:
            if taken:
                yield self._enter(number + 1)
        for _ in range(taken):
            self._undo(ask)

    def _think(self) -> Mind:
        if self._mind is None:
            self._mind = Mind(self._asks, self._rows, self._trial, self._ledger)
            self._impossible = self._mind.impossible
        return self._mind

    def _take(self, ask: Ask, option: Option, device: int) -> bool:
        admin = option.alternative.admin
        if not self._trial.free(device, ask.claim, admin=admin):
            return False
        if option.failed(device):
            raise SearchStoppedError(self.steps, option, device, ask.claim)
        self.steps += 1
        if self.steps > self._most:
            raise SearchStoppedError(self.steps)
        if not self._trial.take(device, ask.claim, option.bonds, option.taking(device), admin=admin):
            return False
        self._counts[ask.claim] = self._counts.get(ask.claim, 0) + 1
        return True

    def _undo(self, ask: Ask) -> None:
        self._trial.undo()
        self._counts[ask.claim] -= 1

    def _note(self, ask: Ask, option: Option, device: int) -> None:
        if any(bond.after(device) is None for bond in option.bonds):
            self._against = ask.claim, option
