"""Node labels as columns: one array of value numbers per label key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kai_py.core.resources import Rows

#: What a column says about a node without the label.
ABSENT = 0


@dataclass(frozen=True)
class LabelColumn:
    """The values of one label key over all nodes.

    Attributes:
        codes: ``(N,)``; ``ABSENT`` or the number of the node's value.
        vocabulary: value -> number, numbers from 1.
    """

    codes: Rows
    vocabulary: Mapping[str, int]

    @cached_property
    def numbers(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """``(V + 1,)`` each value read as int64, NaN where it is none. For the operators Gt and Lt."""
        numbers = np.full(len(self.vocabulary) + 1, np.nan)
        for value, code in self.vocabulary.items():
            # Only plain decimal integers count, as in Go's ParseInt; int() would accept "1_0" and " 1".
            if value.removeprefix("-").removeprefix("+").isdecimal() and value.isascii():
                numbers[code] = int(value)
        return numbers


@dataclass(frozen=True)
class Labels:
    """All labels of all nodes."""

    columns: Mapping[str, LabelColumn]
    count: int

    def column(self, key: str) -> LabelColumn:
        """The column of a key; all ``ABSENT`` when no node has it."""
        found = self.columns.get(key)
        return found if found is not None else LabelColumn(np.zeros(self.count, dtype=np.int32), {})
