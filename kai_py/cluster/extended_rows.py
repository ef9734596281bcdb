"""Rows for claims on extended resources: of those that exist, and of those that are yet to be made."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from kai_py.cluster.claim_objects import Name
from kai_py.cluster.extended_needs import Wanted
from kai_py.cluster.laid import Laid, Shelf
from kai_py.core.dra.table import ClaimRow
from kai_py.core.tables.pods import PodKey

#: Ends the name of a claim that has none yet: the API server completes it.
UNNAMED: Final = "-extended-resources-"


class SpecialRows:
    """The claims of a snapshot with such rows.

    Attributes:
        claims: those of the shelf first.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.claims: list[Laid] = shelf.claims

    def with_special(self, rows: Sequence[int], key: PodKey, name: Name | None, wanted: Wanted) -> list[int]:
        """The rows of a pod with that of the claim on its extended resources, the last one."""
        if self.claims is self._shelf.claims:
            self.claims = list(self._shelf.claims)
        own = key.namespace, f"{key.name}{UNNAMED}"
        found = [self._shelf.row_of[one] for one in (name, own) if one is not None and one in self._shelf.row_of]
        row = found[0] if found else None
        if row is not None and self.claims[row].problem is None:
            laid = self.claims[row]
            extended = dataclasses.replace(laid.row, extended=wanted.extended)
            self.claims[row] = dataclasses.replace(laid, row=extended, cost=wanted.cost)
            return [*(one for one in rows if one != row), row]
        made = ClaimRow("/".join(own), "", wanted.whole, extended=wanted.extended)
        self.claims.append(Laid(own, made, wanted.cost))
        return [*(one for one in rows if one != row), len(self.claims) - 1]
