"""Places that are held for pods across cycles, and what the API says about them (``status.nominatedNodeName``)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kai_py.core.resources import Rows
from kai_py.core.tables.pods import NONE, PodKey


class HeldBook:
    """Node by pod that waits for the pods that were evicted for it.

    The API keeps it as the pod's nominated node, so that whoever leads next goes on holding. What changes there by
    another hand than ours is taken over; the echo of our own writing is not, since we may have thought better of it.
    """

    def __init__(self) -> None:
        self._held: dict[PodKey, str] = {}
        self._shown: dict[PodKey, str] = {}
        self._written: dict[PodKey, str] = {}

    def __contains__(self, key: PodKey) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: PodKey) -> str:
        """The node that is held for a pod; empty if none is."""
        return self._held.get(key, "")

    def replace(self, held: Mapping[PodKey, str]) -> None:
        """These places are held, and no others."""
        self._held = dict(held)

    def give_up(self, key: PodKey) -> None:
        """Nothing is held for a pod any more."""
        self._held.pop(key, None)

    def see(self, key: PodKey, node: str) -> None:
        """A pod of ours that waits shows this nominated node; empty for none."""
        if node == self._shown.get(key, ""):
            return
        _set(self._shown, key, node)
        if node != self._written.pop(key, None):
            _set(self._held, key, node)

    def drop(self, key: PodKey) -> None:
        """The pod is bound or gone: the API server clears what it shows."""
        for book in (self._held, self._shown, self._written):
            book.pop(key, None)

    def unwritten(self) -> Iterator[PodKey]:
        """Pods whose nominated node is not what is held for them, and was not written either."""
        return (key for key in {**self._held, **self._shown} if self.due(key) is not None)

    def due(self, key: PodKey) -> str | None:
        """What to write as a pod's nominated node; None if that has been done."""
        held = self.get(key)
        return None if held == self._written.get(key, self._shown.get(key, "")) else held

    def wrote(self, key: PodKey, node: str) -> None:
        """This is about to be written; an empty node clears it."""
        self._written[key] = node

    def rows(self, keys: Sequence[PodKey], row_of: Mapping[str, int]) -> Rows:
        """``(P,)`` node row that is held for a pod, ``NONE`` for most.

        Args:
            keys: of all pods, sorted.
            row_of: node rows by name.
        """
        rows = np.full(len(keys), NONE, dtype=np.int32)
        for key, node in self._held.items():
            row = bisect_left(keys, key)
            if row < len(keys) and keys[row] == key:
                rows[row] = row_of.get(node, NONE)
        return rows


def _set(book: dict[PodKey, str], key: PodKey, node: str) -> None:
    if node:
        book[key] = node
    else:
        book.pop(key, None)
