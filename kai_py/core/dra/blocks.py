"""A pool laid out: its part of the inventory's columns, kept as long as its slices and its place stay the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kai_py.core.dra.devices import Device, DeviceId, Slice
from kai_py.core.dra.pools import Generation, Pool

#: (row of a counter, amount)
Charges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Place:
    """Where a block begins: the first of its names, slices, counters and counter sets in the inventory."""

    name: int = 0
    slice: int = 0
    counter: int = 0
    counter_set: int = 0


@dataclass(frozen=True)
class Block:
    """The rows of one pool, numbered as in the whole inventory.

    Attributes:
        slices: of all generations.
        place: where it begins.
        devices: of all generations.
        names: the different names of devices.
        id_idx: the name of each device.
        slice_idx: the slice of each device.
        charges: what each device takes of counters.
        charges_of_id: the same of all devices of a name.
        counters: (pool, counter set, counter) of each counter.
        totals: of each counter.
        set_idx: the counter set of each counter.
        sets: how many counter sets there are.
        settled: see :attr:`Pool.settled`.
    """

    slices: tuple[Slice, ...]
    place: Place
    devices: tuple[Device, ...]
    names: tuple[DeviceId, ...]
    id_idx: tuple[int, ...]
    slice_idx: tuple[int, ...]
    charges: tuple[Charges, ...]
    charges_of_id: tuple[Charges, ...]
    counters: tuple[tuple[str, str, str], ...]
    totals: tuple[int, ...]
    set_idx: tuple[int, ...]
    sets: int
    settled: bool

    @property
    def end(self) -> Place:
        """Where the next one begins."""
        here = self.place
        return Place(
            here.name + len(self.names),
            here.slice + len(self.slices),
            here.counter + len(self.totals),
            here.counter_set + self.sets,
        )


class Blocks:
    """The blocks of the last inventory. A memory and nothing else: without it, all pools are laid out anew."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Block] = {}

    def of(self, pools: Iterable[Pool]) -> list[Block]:
        """Lay out pools, in their order."""
        place, before, self._known = Place(), self._known, {}
        blocks: list[Block] = []
        for pool in pools:
            key = pool.driver, pool.name
            block = before.get(key)
            if block is None or block.place != place or not _same(block.slices, pool):
                block = _Layout(pool, place).block()
            self._known[key] = block
            blocks.append(block)
            place = block.end
        return blocks


def _same(slices: tuple[Slice, ...], pool: Pool) -> bool:
    """Whether a pool has just these slices. Those that changed are other objects."""
    now = [one for generation in pool.generations for _, one in generation.slices]
    return len(now) == len(slices) and all(one is other for one, other in zip(now, slices, strict=True))


class _Layout:
    """Numbers everything in a pool once."""

    def __init__(self, pool: Pool, place: Place) -> None:
        self._pool, self._place = pool, place
        self._row_of_id: dict[DeviceId, int] = {}
        self._counters: list[tuple[str, str, str]] = []
        self._totals: list[int] = []
        self._set_idx: list[int] = []
        self._sets = 0
        self._columns: tuple[list[Device], list[int], list[int], list[Charges]] = ([], [], [], [])

    def block(self) -> Block:
        for generation in self._pool.generations:
            self._add(generation)
        devices, ids, slice_idx, charges = self._columns
        rows_of_id: list[list[int]] = [[] for _ in self._row_of_id]
        for row, identity in enumerate(ids):
            rows_of_id[identity - self._place.name].append(row)
        return Block(
            slices=tuple(one for generation in self._pool.generations for _, one in generation.slices),
            place=self._place,
            devices=tuple(devices),
            names=tuple(self._row_of_id),
            id_idx=tuple(ids),
            slice_idx=tuple(slice_idx),
            charges=tuple(charges),
            charges_of_id=tuple(_charges_of(rows, charges) for rows in rows_of_id),
            counters=tuple(self._counters),
            totals=tuple(self._totals),
            set_idx=tuple(self._set_idx),
            sets=self._sets,
            settled=self._pool.settled,
        )

    def _add(self, generation: Generation) -> None:
        pool, counters = self._pool, self._count(generation)
        devices, ids, slice_idx, charges = self._columns
        for slice_row, one in generation.slices:
            for device in one.devices:
                devices.append(device)
                identity = DeviceId(pool.driver, pool.name, device.name)
                ids.append(self._row_of_id.setdefault(identity, self._place.name + len(self._row_of_id)))
                slice_idx.append(slice_row)
                charges.append(_charges(device, counters) if device.consumes else ())

    def _count(self, generation: Generation) -> dict[tuple[str, str], int]:
        """Number the counters of a generation. Of counter sets with one name the first one counts."""
        found: dict[tuple[str, str], int] = {}
        seen: set[str] = set()
        for _, one in generation.slices:
            for counters in one.counter_sets:
                if counters.name in seen:
                    continue
                seen.add(counters.name)
                for name, total in counters.counters:
                    found[counters.name, name] = self._place.counter + len(self._counters)
                    self._counters.append((f"{self._pool.driver}/{self._pool.name}", counters.name, name))
                    self._totals.append(total)
                    self._set_idx.append(self._place.counter_set + self._sets)
                self._sets += 1
        return found


def _charges(device: Device, counters: dict[tuple[str, str], int]) -> Charges:
    """What a device takes of counters, by row; of unknown ones it takes nothing, its pool is invalid anyway."""
    taken: dict[int, int] = {}
    for use in device.consumes:
        for name, amount in use.amounts:
            row = counters.get((use.counter_set, name))
            if row is not None:
                taken[row] = taken.get(row, 0) + amount
    return tuple(sorted(taken.items()))


def _charges_of(rows: list[int], charges: list[Charges]) -> Charges:
    """What all devices of one name take; they are of different generations, or their pool is invalid."""
    if len(rows) == 1:
        return charges[rows[0]]
    taken: dict[int, int] = {}
    for row in rows:
        for counter, amount in charges[row]:
            taken[counter] = max(amount, taken.get(counter, 0))
    return tuple(sorted(taken.items()))
