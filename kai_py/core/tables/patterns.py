"""Communication patterns of distributed training: what podgroups say about who of their pods talks to whom."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Shape(StrEnum):
    """How groups of ranks talk to each other."""

    RING = "ring"  # each to the next, the last to the first: ring all-reduce, pipelines
    TREE = "tree"  # each to its parent in a binary tree: rank r to (r - 1) // 2
    ALL = "all"  # each to each: all-to-all, expert parallelism


@dataclass(frozen=True)
class Pattern:
    """A communication pattern.

    Attributes:
        shape: between groups, ranks with the same place in their groups talk to each other.
        group: consecutive ranks that talk each to each: the tensor parallel size. 1 = there are no groups.
        inner: weight of a pair within a group, where a pair between groups has weight 1.
    """

    shape: Shape = Shape.RING
    group: int = 1
    inner: int = 8

    def __str__(self) -> str:
        return str(self.shape) if self.group == 1 else f"{self.shape} of groups of {self.group}"


#: Most collective operations are rings.
RING: Final = Pattern()
