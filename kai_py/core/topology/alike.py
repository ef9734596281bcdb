"""Domains for pods that are all alike, in closed form: only how many fit on each node matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.pods import NONE
from kai_py.core.topology.choice import Choice, Constraint, Pinned, Shortfall, ShortfallCode
from kai_py.core.topology.cover import Cover, fewest, smallest_cover
from kai_py.core.topology.domains import ROOT, Topology


class _Candidate(NamedTuple):
    """A domain that holds all, its parts at the preferred level, and what they have to make up."""

    domain: int
    parts: Rows
    held: Rows
    missing: int


def choose_alike(
    topology: Topology, constraint: Constraint, slots: Amounts, demand: int, pinned: Pinned
) -> Choice | Shortfall:
    """Choose domains for pods of one class.

    In this order: the required level; the narrowest level, from the preferred upward, of which a domain holds all; the
    fewest domains of the preferred level; the least left over in them; the domain with the least room, then the one
    in the wider domains with the least room, so that large ones stay whole; of equally large parts those that share
    wider domains; the first by path.

    Args:
        topology: levels and domains.
        constraint: levels.
        slots: ``(N,)`` pods that fit on each node.
        demand: pods, at least 1.
        pinned: members that stay. What they use is not in ``slots``. Parts that have some come first and cost nothing.

    Returns:
        Exact but for "those that share wider domains", which is greedy.
    """
    inside, refusal = required_domain(topology, constraint, slots, demand, pinned)
    if refusal is not None:
        return refusal
    slots = np.where(inside, slots, 0)
    free = {level: topology.sums(level, slots) for level in range(ROOT, constraint.narrowest + 1)}
    for level in range(constraint.narrowest, constraint.required - 1, -1):
        domains = np.flatnonzero(free[level] >= demand).astype(np.int32)
        if pinned.nodes.size:
            domains = domains[domains == (NONE if (part := pinned.part(topology, level)) is None else part)]
        if domains.size:
            return _best(topology, constraint.narrowest, level, domains, slots, free, demand, pinned)
    return too_small(topology, constraint, free[constraint.required], demand)


def required_domain(
    topology: Topology, constraint: Constraint, slots: Amounts, demand: int, pinned: Pinned
) -> tuple[np.ndarray, Shortfall | None]:
    """``(N,)`` nodes that the required level leaves, and why there are none."""
    level = constraint.required
    if level == ROOT:
        return np.ones(slots.shape[-1], dtype=np.bool_), None
    inside = topology.domain_idx[level] != NONE
    if not inside.any():
        return inside, Shortfall(ShortfallCode.NO_DOMAIN, level, (), 0, demand)
    if not pinned.nodes.size:
        return inside, None
    if not pinned.within(topology, level):
        return inside, Shortfall(ShortfallCode.PINNED_APART, level, (), 0, demand)
    return topology.domain_idx[level] == topology.domain_idx[level, pinned.nodes[0]], None


def too_small(topology: Topology, constraint: Constraint, fits: Amounts, demand: int) -> Shortfall:
    """The domain of the required level that takes the most pods: ``fits`` ``(parts,)``."""
    level = constraint.required
    best = int(fits.argmax())
    most = int(fits[best])
    path = topology.name_of(level, best) if most else ()
    return Shortfall(ShortfallCode.TOO_SMALL, level, path, most, demand)


def _best(
    topology: Topology,
    cover_level: int,
    level: int,
    domains: Rows,
    slots: Amounts,
    free: dict[int, Amounts],
    demand: int,
    pinned: Pinned,
) -> Choice:
    """The best of the domains of a level that hold all."""
    up: list[Amounts] = [free[wider][topology.upward(level, wider)[domains]] for wider in topology.above(level)]
    keys: list[Amounts | Rows] = [domains, *reversed(up), free[level][domains]]
    # `lexsort` sorts by the last key first.
    by_room = domains[np.lexsort(keys)]
    if level == cover_level:
        domain = int(by_room[0])
        only = np.array([domain], dtype=np.int32)
        counts = lay(topology, level, only, slots, demand)
        return _choice(topology, level, level, domain, only, slots, counts, exact=True)
    room = free[cover_level]
    found = list(_candidates(topology, cover_level, level, by_room, room, demand, pinned))
    needed = [fewest(sorted(room[each.parts].tolist(), reverse=True), each.missing) for each in found]
    least = min(count for count in needed if count is not None)
    covers: dict[tuple[int, ...], Cover] = {}
    best: tuple[int, _Candidate, Cover] | None = None
    for each, count in zip(found, needed, strict=True):
        if count != least:
            continue
        sizes = (each.missing, *sorted(room[each.parts].tolist()))
        if sizes not in covers:  # empty clusters have many equal domains
            cover = smallest_cover(sizes[1:], each.missing)
            assert cover is not None, "the domain holds all"
            covers[sizes] = cover
        if best is None or covers[sizes].leftover < best[0]:
            best = covers[sizes].leftover, each, covers[sizes]
    assert best is not None, "some candidate needs the fewest"
    _, each, cover = best
    chosen = pick(topology, cover_level, level, each.parts, room, cover.sizes, each.held)
    if each.missing:
        counts = np.where(np.isin(topology.partition(cover_level), each.held), slots, 0)
        counts += lay(topology, cover_level, chosen, slots, each.missing)
    else:
        counts = lay(topology, cover_level, each.held, slots, demand)
    exact = all(cover.exact for cover in covers.values())
    used = np.union1d(each.held, chosen)
    return _choice(topology, cover_level, level, each.domain, used, slots, counts, exact=exact)


def _candidates(
    topology: Topology, cover_level: int, level: int, domains: Rows, room: Amounts, demand: int, pinned: Pinned
) -> Iterator[_Candidate]:
    owner = topology.upward(cover_level, level)
    members = np.argsort(owner, kind="stable")
    begin = np.searchsorted(owner[members], domains, side="left")
    end = np.searchsorted(owner[members], domains, side="right")
    held = np.unique(topology.partition(cover_level)[pinned.nodes])
    held = held[room[held] > 0]
    missing = max(demand - int(room[held].sum()), 0)
    for domain, first, last in zip(domains.tolist(), begin.tolist(), end.tolist(), strict=True):
        parts = members[first:last]
        parts = parts[room[parts] > 0]
        yield _Candidate(domain, np.setdiff1d(parts, held) if held.size else np.sort(parts), held, missing)


def pick(
    topology: Topology, cover_level: int, level: int, parts: Rows, room: Amounts, sizes: Counter[int], held: Rows
) -> Rows:
    """Of equally large parts, those that lie together in few wider domains. Greedy.

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
        return first_of(parts, room, sizes)
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
    wanted, chosen = Counter(wanted), []
    for part, size in zip(parts.tolist(), room[parts].tolist(), strict=True):
        if wanted[size]:
            wanted[size] -= 1
            chosen.append(part)
    return np.array(chosen, dtype=np.int32)


def _choice(
    topology: Topology,
    cover_level: int,
    level: int,
    domain: int,
    cover: Rows,
    slots: Amounts,
    counts: Amounts,
    *,
    exact: bool,
) -> Choice:
    mask = np.isin(topology.partition(cover_level), cover)
    left = int(slots[mask].sum() - counts.sum())
    return Choice(level, domain, cover_level, np.sort(cover).astype(np.int32), mask, counts[None, :], left, exact)


def lay(topology: Topology, level: int, parts: Rows, slots: Amounts, demand: int) -> Amounts:
    """Lay pods over parts that hold them: on few domains of the next level, there on few of the next.

    All parts but one are filled; in that one the same is done a level lower.

    Args:
        topology: levels and domains.
        level: of the parts.
        parts: rows.
        slots: ``(N,)``
        demand: at most what the parts hold.

    Returns:
        ``(N,)`` pods per node.
    """
    counts = np.zeros(len(slots), dtype=np.int64)
    while True:
        room = topology.sums(level, slots)
        cover = smallest_cover(room[parts].tolist(), demand)
        assert cover is not None, "the parts hold the demand"
        order = parts[np.lexsort((parts, room[parts]))]
        chosen = first_of(order, room, cover.sizes)
        full, part = (chosen, None) if cover.leftover == 0 else (chosen[:-1], int(chosen[-1]))
        filled = np.isin(topology.partition(level), full)
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
        parts = np.unique(topology.partition(level)[inside])
