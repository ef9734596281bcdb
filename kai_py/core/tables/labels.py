"""Node labels as columns: one array of value numbers per label key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kai_py.core.resources import Rows
from kai_py.core.tables.integers import parse_int64

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
    def integers(self) -> dict[int, int]:
        """Number of a value -> the value as an integer, for those that are integers. For the operators Gt and Lt."""
        read = ((code, parse_int64(value)) for value, code in self.vocabulary.items())
        return {code: integer for code, integer in read if integer is not None}


@dataclass(frozen=True)
class Labels:
    """All labels of all nodes."""

    columns: Mapping[str, LabelColumn]
    count: int

    def column(self, key: str) -> LabelColumn:
        """The column of a key; all ``ABSENT`` when no node has it."""
        found = self.columns.get(key)
        return found if found is not None else LabelColumn(np.zeros(self.count, dtype=np.int32), {})
