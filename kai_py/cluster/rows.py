"""Sorted rows that are kept up to date instead of being rebuilt."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Key = TypeVar("Key", bound=tuple[Any, ...])


class SortedRows(Generic[Key]):
    """Columns over rows that stay sorted by key.

    Changes are collected and worked in by :meth:`settle`, all at once. Arrays that were handed out are never written to
    again: a snapshot may still be read by a cycle in another thread.

    Attributes:
        keys: sorted; as of the last :meth:`settle`.
        generation: grows whenever a :meth:`settle` changed anything.

    Args:
        columns: name -> dtype, in the order in which :meth:`put` takes values.
    """

    def __init__(self, **columns: DTypeLike) -> None:
        self.keys: tuple[Key, ...] = ()
        self.generation = 0
        self._columns: dict[str, NDArray[Any]] = {name: np.zeros(0, dtype=dtype) for name, dtype in columns.items()}
        self._changes: dict[Key, tuple[Any, ...] | None] = {}
        self._shared = False

    def __len__(self) -> int:
        return len(self.keys)

    def put(self, key: Key, *values: Any) -> None:
        """Add a row, or replace its values."""
        self._changes[key] = values

    def drop(self, key: Key) -> None:
        """Remove a row; no matter if there is none."""
        self._changes[key] = None

    def row(self, key: Key) -> int | None:
        """The row of a key, as of the last :meth:`settle`."""
        row = bisect_left(self.keys, key)
        return row if row < len(self.keys) and self.keys[row] == key else None

    def share(self) -> dict[str, NDArray[Any]]:
        """The columns, for a snapshot; from now on nobody writes to these arrays."""
        self._shared = True
        return dict(self._columns)

    def settle(self) -> None:
        """Work in the changes."""
        if not self._changes:
            return
        changes, self._changes = self._changes, {}
        updates: dict[int, tuple[Any, ...]] = {}
        removed: list[int] = []
        added: list[tuple[Key, int, tuple[Any, ...]]] = []
        for key, values in changes.items():
            row = bisect_left(self.keys, key)
            known = row < len(self.keys) and self.keys[row] == key
            if values is not None and known:
                updates[row] = values
            elif values is not None:
                added.append((key, row, values))
            elif known:
                removed.append(row)
        if not (updates or removed or added):
            return
        self.generation += 1
        self._update(updates)
        removed.sort()
        self._remove(removed)
        # Where an addition belongs was found among the old rows.
        self._add(sorted((key, row - bisect_left(removed, row), values) for key, row, values in added))

    def _update(self, updates: dict[int, tuple[Any, ...]]) -> None:
        if not updates:
            return
        if self._shared:
            self._columns = {name: column.copy() for name, column in self._columns.items()}
            self._shared = False
        rows = list(updates)
        for column, values in zip(self._columns.values(), zip(*updates.values(), strict=True), strict=True):
            column[rows] = values

    def _remove(self, rows: list[int]) -> None:
        if not rows:
            return
        self._columns = {name: np.delete(column, rows) for name, column in self._columns.items()}
        self._shared = False
        self.keys = _without(self.keys, rows)

    def _add(self, entries: list[tuple[Key, int, tuple[Any, ...]]]) -> None:
        if not entries:
            return
        keys, positions, values = zip(*entries, strict=True)
        self._columns = {
            name: np.insert(column, positions, fresh)
            for (name, column), fresh in zip(self._columns.items(), zip(*values, strict=True), strict=True)
        }
        self._shared = False
        self.keys = _with(self.keys, keys, positions)


def _without(keys: tuple[Key, ...], rows: Sequence[int]) -> tuple[Key, ...]:
    kept: list[Key] = []
    start = 0
    for row in rows:
        kept += keys[start:row]
        start = row + 1
    kept += keys[start:]
    return tuple(kept)


def _with(keys: tuple[Key, ...], more: Sequence[Key], positions: Sequence[int]) -> tuple[Key, ...]:
    merged: list[Key] = []
    start = 0
    for key, position in zip(more, positions, strict=True):
        merged += keys[start:position]
        merged.append(key)
        start = position
    merged += keys[start:]
    return tuple(merged)


class Slots:
    """Stable small numbers for names whose rows move: a column of slots is translated to rows in one array access."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}
        self._uses: list[int] = []
        self._free: list[int] = []
        self._rows: NDArray[np.int32] | None = None
        self._row_of: Mapping[str, int] = {}

    def take(self, name: str) -> int:
        """The number of a name; call :meth:`give_back` as often as this."""
        number = self._number.get(name)
        if number is None:
            number = self._make(name)
        self._uses[number] += 1
        return number

    def give_back(self, name: str) -> None:
        """One user less; without users the number is given to another name."""
        number = self._number[name]
        self._uses[number] -= 1
        if not self._uses[number]:
            del self._number[name]
            self._free.append(number)

    def number(self, name: str) -> int:
        """The number of a name in use."""
        return self._number[name]

    def rows(self, row_of: Mapping[str, int]) -> NDArray[np.int32]:
        """``(slots + 1,)`` the row of each slot's name, -1 where it has none; the last one serves slot -1.

        Remembered for as long as the very same mapping is asked for and no name is new.
        """
        if self._rows is None or self._row_of is not row_of:
            rows = np.full(len(self._uses) + 1, -1, dtype=np.int32)
            for name, number in self._number.items():
                rows[number] = row_of.get(name, -1)
            self._rows, self._row_of = rows, row_of
        return self._rows

    def _make(self, name: str) -> int:
        if self._free:
            number = self._free.pop()
        else:
            number = len(self._uses)
            self._uses.append(0)
        self._number[name] = number
        self._rows = None
        return number
