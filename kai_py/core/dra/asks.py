"""The requests of a search, laid out for one node: which devices each alternative may take, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kai_py.core.dra.capacity import Taking
from kai_py.core.dra.claims import ALL, Alternative, Claim, Request
from kai_py.core.dra.constraints import Bond
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.verdicts import Judge, Verdict


@dataclass(frozen=True)
class Option:
    """One alternative of a request on one node.

    Attributes:
        alternative: as the claim has it.
        judge: its verdicts.
        candidates: devices that fit or whose selector failed, best first; for ALL, the devices to take.
        needed: how many of them.
        bonds: constraints that bind its devices.
        matched: how many devices of the node its selectors accept.
    """

    alternative: Alternative
    judge: Judge
    candidates: Sequence[int]
    needed: int
    bonds: tuple[Bond, ...]
    matched: int

    @property
    def takes_all(self) -> bool:
        """Whether it wants all its candidates."""
        return self.alternative.count == ALL

    @property
    def tainted(self) -> bool:
        """Whether it wants all its candidates and cannot have one of them because of a taint."""
        return self.takes_all and any(self.judge.verdict(device) == Verdict.TAINTED for device in self.candidates)

    def sorted_by(self, place: Mapping[int, int]) -> Option:
        """The same with candidates in another order."""
        return replace(self, candidates=sorted(self.candidates, key=place.__getitem__))

    def taking(self, device: int) -> Taking:
        """What it consumes of a shareable device."""
        return self.judge.taking(device)

    def failed(self, device: int) -> bool:
        """Whether a selector cannot be evaluated on a candidate."""
        return self.judge.verdict(device) == Verdict.FAILED


@dataclass(frozen=True)
class Ask:
    """One request of one claim: ``claim`` is the number of the claim in the search."""

    claim: int
    request: Request
    options: tuple[Option, ...]


def bonds_of(claim: Claim, inventory: Inventory) -> tuple[Bond, ...]:
    """The constraints of a claim, before any device is chosen."""
    return tuple(Bond(constraint, inventory) for constraint in claim.constraints)
