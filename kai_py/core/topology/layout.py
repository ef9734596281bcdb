"""Which of equally good parts, and how many pods on which node: what a cover in sizes leaves open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.domains import Topology
from kai_py.core.topology.cover import smallest_cover


def pick(
    topology: Topology, cover_level: int, level: int, parts: Rows, room: Amounts, sizes: Counter[int], held: Rows
) -> Rows:
    """Of equally large parts, those that lie together in few wider domains, the last ones first. Greedy.

    Args:
        topology: levels and domains.
        cover_level: level of the parts.
        level: a wider level; all parts are in one domain of it.
        parts: rows to pick from, ascending.
        room: ``(all parts of cover_level,)``
        sizes: how many of which room are wanted.
        held: parts that are used anyway.

    Returns:
        Rows, in the order in which they were picked.
    """
    if cover_level - level <= 1:
        return first_of(parts[::-1], room, sizes)
    values = np.array(sorted(sizes))
    wanted = np.array([sizes[value] for value in values.tolist()])
    parts = parts[np.isin(room[parts], values)]
    parents, parent = np.unique(topology.upward(cover_level, cover_level - 1)[parts], return_inverse=True)
    has = np.zeros((len(parents), len(values)), dtype=np.int64)
    np.add.at(has, (parent, np.searchsorted(values, room[parts])), 1)
    spare = has @ values
    used = np.isin(parents, topology.upward(cover_level, cover_level - 1)[held])
    # ``(wider levels, parents)``: domains that share one of these with what is used already are nearer to it.
    widths = range(level + 1, cover_level - 1)
    wider = np.zeros((len(widths), len(parents)), dtype=np.int32)
    for row, width in enumerate(widths):
        wider[row] = topology.upward(cover_level - 1, width)[parents]
    near = np.array([np.isin(row, row[used]) for row in wider], dtype=np.int64).reshape(wider.shape)
    chosen: list[int] = []
    while wanted.any():
        gives = np.minimum(has, wanted)
        best = int(np.lexsort((spare, -near.sum(axis=0), -gives.sum(axis=1), ~used))[0])
        if not gives[best].any():
            used[best] = False
            continue
        mine = dict(zip(values.tolist(), gives[best].tolist(), strict=True))
        chosen += first_of(parts[parent == best], room, mine).tolist()
        wanted, has[best] = wanted - gives[best], 0
        near |= wider == wider[:, best, None]
        used[best] = False
    return np.array(chosen, dtype=np.int32)


def first_of(parts: Rows, room: Amounts, wanted: Mapping[int, int]) -> Rows:
    """The first parts of each wanted size."""
    left, chosen = Counter(wanted), list[int]()
    for part, size in zip(parts.tolist(), room[parts].tolist(), strict=True):
        if left[size]:
            left[size] -= 1
            chosen.append(part)
    return np.array(chosen, dtype=np.int32)


def lay(topology: Topology, level: int, parts: Rows, slots: Amounts, demand: int) -> Amounts:
    """Lay pods over parts that hold them: on few domains of the next level, there on few of the next.

    All parts but one are filled, of equally large ones the last; in that one the same is done a level lower.

    Args:
        topology: levels and domains.
        level: of the parts.
        parts: rows.
        slots: ``(N,)``
        demand: at most what the parts hold.

    Returns:
        ``(N,)`` pods per node.
    """
    if demand == 1:
        return _lay_one(topology, level, parts, slots)
    counts = np.zeros(len(slots), dtype=np.int64)
    order = np.sort(parts)
    if level < len(topology.levels):
        order = order[::-1]
    while True:
        room = topology.sums(level, slots)
        cover = smallest_cover(room[parts].tolist(), demand)
        assert cover is not None, "the parts hold the demand"
        order = order[np.argsort(room[order], kind="stable")]
        chosen = first_of(order, room, cover.sizes)
        full, part = (chosen, None) if cover.leftover == 0 else (chosen[:-1], int(chosen[-1]))
        filled = topology.inside(level, full)
        counts[filled] = slots[filled]
        if part is None:
            return counts
        demand -= int(room[full].sum())
        if level == len(topology.levels):
            counts[topology.partition(level) == part] = demand
            return counts
        inside = topology.partition(level) == part
        slots = np.where(inside, slots, 0)
        level += 1
        order = parts = np.unique(topology.partition(level)[inside])


def _lay_one(topology: Topology, level: int, parts: Rows, slots: Amounts) -> Amounts:
    """The same for one pod: at each level the tightest part that has room, the first or last as above."""
    order = np.sort(parts)
    if level < len(topology.levels):
        order = order[::-1]
    while True:
        room = topology.sums(level, slots)[order]
        best = order[np.where(room > 0, room, np.iinfo(np.int64).max).argmin()]
        inside = topology.partition(level) == best
        if level == len(topology.levels):
            return np.asarray(inside, dtype=np.int64)
        slots = np.where(inside, slots, 0)
        level += 1
        order = np.unique(topology.partition(level)[inside])
