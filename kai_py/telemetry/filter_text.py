"""How a reason of a node reads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FilterText:
    """How a reason of a node reads.

    Attributes:
        one: predicate for one node ("is cordoned").
        many: predicate for several ("are cordoned").
        meaning: for the reference page.
        next_step: what the reader can do when this is what most nodes say; an imperative without a full stop.
    """

    one: str
    many: str
    meaning: str
    next_step: str
