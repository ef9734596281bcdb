"""Sorted rows that are kept up to date instead of being rebuilt."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Key = TypeVar("Key", bound=tuple[Any, ...])

#: Above so many insertions or removals at once, sorting the whole list again is cheaper than moving it each time.
_FEW = 64


class SortedRows(Generic[Key]):
    """Columns over rows that stay sorted by key.

    Changes are collected and worked in by :meth:`settle`, all at once. Arrays that were handed out are never written to
    again: a snapshot may still be read by a cycle in another thread.

    Args:
        columns: name -> dtype, in the order in which :meth:`put` takes values.
    """

    def __init__(self, **columns: DTypeLike) -> None:
        self.keys: list[Key] = []
        self.columns: dict[str, NDArray[Any]] = {name: np.zeros(0, dtype=dtype) for name, dtype in columns.items()}
        self._frozen: tuple[Key, ...] = ()
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

    def share(self) -> tuple[tuple[Key, ...], dict[str, NDArray[Any]]]:
        """Keys and columns for a snapshot; from now on nobody writes to these arrays."""
        self._shared = True
        if len(self._frozen) != len(self.keys):
            self._frozen = tuple(self.keys)
        return self._frozen, dict(self.columns)

    def settle(self) -> bool:
        """Work in the changes.

        Returns:
            Whether rows moved, that is, whether any was added or removed.
        """
        changes, self._changes = self._changes, {}
        updates: dict[int, tuple[Any, ...]] = {}
        added: list[tuple[Key, tuple[Any, ...]]] = []
        removed: list[int] = []
        for key, values in changes.items():
            row = self.row(key)
            if values is None:
                if row is not None:
                    removed.append(row)
            elif row is None:
                added.append((key, values))
            else:
                updates[row] = values
        self._update(updates)
        # Updates are done with the old row numbers, removals before additions: positions of the latter are found anew.
        self._remove(sorted(removed))
        self._add(sorted(added, key=lambda entry: entry[0]))
        if added or removed:
            self._frozen = tuple(self.keys)
        return bool(added or removed)

    def _update(self, updates: dict[int, tuple[Any, ...]]) -> None:
        if not updates:
            return
        if self._shared:
            self.columns = {name: column.copy() for name, column in self.columns.items()}
            self._shared = False
        rows = list(updates)
        for (_, column), values in zip(self.columns.items(), zip(*updates.values(), strict=True), strict=True):
            column[rows] = values

    def _remove(self, rows: list[int]) -> None:
        if not rows:
            return
        self.columns = {name: np.delete(column, rows) for name, column in self.columns.items()}
        self._shared = False
        if len(rows) <= _FEW:
            for row in reversed(rows):
                del self.keys[row]
        else:
            gone = set(rows)
            self.keys = [key for row, key in enumerate(self.keys) if row not in gone]

    def _add(self, entries: list[tuple[Key, tuple[Any, ...]]]) -> None:
        if not entries:
            return
        positions = [bisect_left(self.keys, key) for key, _ in entries]
        fresh = zip(*(values for _, values in entries), strict=True)
        self.columns = {
            name: np.insert(column, positions, values)
            for (name, column), values in zip(self.columns.items(), fresh, strict=True)
        }
        self._shared = False
        self._add_keys([key for key, _ in entries], positions)

    def _add_keys(self, keys: list[Key], positions: Iterable[int]) -> None:
        if len(keys) <= _FEW:
            for shift, (key, position) in enumerate(zip(keys, positions, strict=True)):
                self.keys.insert(position + shift, key)
        else:
            self.keys = sorted([*self.keys, *keys])  # two sorted runs: linear


class Slots:
    """Stable small numbers for names whose rows move: a column of slots is translated to rows in one array access."""

    def __init__(self) -> None:
        self._number: dict[Any, int] = {}
        self._free: list[int] = []
        self._uses: dict[int, int] = {}

    def take(self, name: Any) -> int:
        """The number of a name; call :meth:`give_back` as often as this."""
        number = self._number.get(name)
        if number is None:
            number = self._free.pop() if self._free else len(self._number)
            self._number[name] = number
        self._uses[number] = self._uses.get(number, 0) + 1
        return number

    def give_back(self, name: Any) -> None:
        """One user less; without users the number is given to another name."""
        number = self._number[name]
        self._uses[number] -= 1
        if not self._uses[number]:
            del self._number[name], self._uses[number]
            self._free.append(number)

    def names(self, numbers: Iterable[int]) -> dict[int, Any]:
        """The names behind numbers, as far as they are in use."""
        wanted = set(numbers)
        return {number: name for name, number in self._number.items() if number in wanted} if wanted else {}

    def number(self, name: Any) -> int:
        """The number of a name in use."""
        return self._number[name]

    @property
    def size(self) -> int:
        """One more than the largest number in use."""
        return len(self._number) + len(self._free)

    def rows(self, row_of: Mapping[Any, int]) -> NDArray[np.int32]:
        """``(size + 1,)`` the row of each slot's name, -1 where it has none; the last one serves slot -1."""
        rows = np.full(self.size + 1, -1, dtype=np.int32)
        for name, number in self._number.items():
            rows[number] = row_of.get(name, -1)
        return rows
