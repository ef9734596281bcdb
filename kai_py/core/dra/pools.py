"""Pools: which slices of a pool count, and whether it can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from kai_py.core.dra.devices import Slice


class PoolState(IntEnum):
    """What a node may do with a pool."""

    COMPLETE = 0
    #: Its driver is about to publish the rest: wait.
    INCOMPLETE = 1
    #: It contradicts itself; its driver must repair it.
    INVALID = 2
    #: A newer generation has left this node.
    GONE = 3


@dataclass(frozen=True)
class Generation:
    """The slices of a pool of one generation, sorted by name. Slices are numbered as in the whole inventory."""

    number: int
    slices: tuple[tuple[int, Slice], ...]

    @property
    def complete(self) -> bool:
        """Whether all slices are there, and agree about how many they are."""
        return all(len(self.slices) == one.count for _, one in self.slices)


@dataclass(frozen=True)
class Pool:
    """A pool with all its generations, ascending."""

    driver: str
    name: str
    generations: tuple[Generation, ...]

    @property
    def settled(self) -> bool:
        """Whether it is the same valid pool for every node: one generation, complete, and nothing wrong with it."""
        if len(self.generations) > 1 or not self.generations[0].complete:
            return False
        slices = [one for _, one in self.generations[0].slices]
        return not contradictory(slices, slices)

    def seen_by(self, relevant: Callable[[int], bool]) -> tuple[PoolState, tuple[int, ...]] | None:
        """What a node makes of it: the state, and the slices that matter to the node; None = the node does not see it.

        Args:
            relevant: whether a slice, by its number, concerns the node.

        A newer generation goes unnoticed as long as the node sees a whole old one and none of the new slices: its
        driver is still moving devices to other nodes. Where slices disagree about their count, the first one that the
        node sees is believed. Both is what kube-scheduler does.
        """
        newest: Generation | None = None
        mine: list[tuple[int, Slice]] = []
        for generation in reversed(self.generations):
            mine = [(row, one) for row, one in generation.slices if relevant(row)]
            if mine:
                newest = generation
                break
        if newest is None:
            return None
        rows = tuple(row for row, _ in mine)
        if len(mine) != mine[0][1].count:
            if newest is not self.generations[-1]:
                return PoolState.GONE, ()
            if len(newest.slices) != mine[0][1].count:
                return PoolState.INCOMPLETE, rows
        wrong = contradictory([one for _, one in mine], [one for _, one in newest.slices])
        return PoolState.INVALID if wrong else PoolState.COMPLETE, rows


def by_pool(slices: Iterable[Slice]) -> tuple[Pool, ...]:
    """All pools, sorted by driver and name. Slices are numbered in the order of the result."""
    ordered = sorted(slices, key=lambda one: (one.driver, one.pool, one.generation, one.name))
    pools: dict[tuple[str, str], dict[int, list[tuple[int, Slice]]]] = {}
    for row, one in enumerate(ordered):
        pools.setdefault((one.driver, one.pool), {}).setdefault(one.generation, []).append((row, one))
    return tuple(
        Pool(driver, name, tuple(Generation(number, tuple(found)) for number, found in generations.items()))
        for (driver, name), generations in pools.items()
    )


def contradictory(mine: Sequence[Slice], others: Sequence[Slice]) -> bool:
    """Whether devices of a node share a name, counter sets do, or any device consumes a counter that is not there."""
    names = [device.name for one in mine for device in one.devices]
    if len(set(names)) != len(names):
        return True
    sets = [counters for one in mine for counters in one.counter_sets]
    known = {one.name: {name for name, _ in one.counters} for one in sets}
    if len(known) != len(sets):
        return True
    return any(
        not {name for name, _ in use.amounts} <= known.get(use.counter_set, _NOTHING) or use.counter_set not in known
        for one in others
        for device in one.devices
        for use in device.consumes
    )


_NOTHING: frozenset[str] = frozenset()
