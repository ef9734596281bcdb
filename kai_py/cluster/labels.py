"""Labels of pods, kept once for all pods that have the same: who selects pods may come later."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from kai_py.core.tables.pods import NONE

#: A namespace, then keys and values in turn, sorted by key.
LabelSet = tuple[str, ...]

_NO_SET: Final[LabelSet] = ("",)


class LabelBook:
    """Numbers for sets of labels. A number stays valid as long as some pod uses it; then it is given to another set."""

    def __init__(self) -> None:
        self._followers: list[set[int]] = []
        self._number: dict[LabelSet, int] = {}
        self._sets: list[LabelSet] = []
        self._uses: list[int] = []
        self._free: list[int] = []

    def follow(self) -> set[int]:
        """Numbers that are given to a set from now on, until the caller clears them."""
        fresh: set[int] = set(range(len(self._sets)))
        self._followers.append(fresh)
        return fresh

    def __len__(self) -> int:
        """One more than the largest number that was ever in use."""
        return len(self._sets)

    def take(self, namespace: str, labels: Mapping[str, str]) -> int:
        """The number of a pod's labels; call :meth:`give_back` as often as this."""
        known = (namespace, *[text for key in sorted(labels) for text in (key, labels[key])])
        number = self._number.get(known)
        if number is None:
            number = self._make(tuple(map(sys.intern, known)))
        self._uses[number] += 1
        return number

    def hold(self, number: int) -> None:
        """One pod more of a number in use; ``NONE`` stands for no labels that matter."""
        if number != NONE:
            self._uses[number] += 1

    def give_back(self, number: int) -> None:
        """One pod less."""
        if number == NONE:
            return
        self._uses[number] -= 1
        if not self._uses[number]:
            del self._number[self._sets[number]]
            self._sets[number] = _NO_SET
            self._free.append(number)

    def namespace(self, number: int) -> str:
        """Where the pods of a number are; empty for a number that is not in use."""
        return self._sets[number][0]

    def labels(self, number: int) -> dict[str, str]:
        """The labels behind a number."""
        known = self._sets[number]
        return dict(zip(known[1::2], known[2::2], strict=True))

    def _make(self, labels: LabelSet) -> int:
        if self._free:
            number = self._free.pop()
            self._sets[number] = labels
        else:
            number = len(self._sets)
            self._sets.append(labels)
            self._uses.append(0)
        self._number[labels] = number
        for fresh in self._followers:
            fresh.add(number)
        return number
