"""Slow and plain: every subset of parts is looked at."""

from itertools import combinations

import numpy as np

from kai_py.core.tables.domains import ROOT
from kai_py.core.topology.choice import ANYWHERE


def covers(capacities, demand):
    """The best sizes: fewest, least left over, smallest largest; None when nothing is enough."""
    best = None
    for count in range(1, len(capacities) + 1):
        for rows in combinations(range(len(capacities)), count):
            total = sum(capacities[row] for row in rows)
            if total >= demand:
                key = (count, total - demand, sorted((capacities[row] for row in rows), reverse=True))
                best = key if best is None else min(best, key)
        if best is not None:
            return best
    return None


def choice(tree, constraint, slots, demand, running=()):
    """(level, count of new parts, left over in them) of the best choice; None when there is none."""
    narrowest = max(constraint.required, constraint.preferred)
    required = constraint.required
    if required != ROOT and len({int(tree.domain_idx[required, n]) for n in running} | {-1}) > 2:
        return None
    for level in range(narrowest, required - 1, -1):
        keys = []
        for part in set(tree.partition(level).tolist()):
            nodes = [n for n in range(len(slots)) if tree.partition(level)[n] == part]
            if required != ROOT:
                nodes = [n for n in nodes if tree.domain_idx[required, n] >= 0]
            if sum(slots[n] for n in nodes) < demand or not set(running) <= set(nodes):
                continue
            room = {}
            for n in nodes:
                room[int(tree.partition(narrowest)[n])] = room.get(int(tree.partition(narrowest)[n]), 0) + slots[n]
            held = {int(tree.partition(narrowest)[n]) for n in running}
            missing = demand - sum(room[part] for part in held)
            new = [size for part, size in room.items() if part not in held]
            keys.append(covers(new, missing)[:2] if missing > 0 else (0, 0))
        if keys:
            return (level, *min(keys))
    return None


def hops(tree, one, other):
    """Hops between two nodes, by walking up."""
    if one == other:
        return 0
    levels = [level for level in range(len(tree.levels)) if len(set(tree.partition(level).tolist())) < len(tree.nodes)]
    return 1 + sum(tree.partition(level)[one] != tree.partition(level)[other] for level in levels)


def ring(nodes, distance):
    return sum(distance[nodes[i]][nodes[(i + 1) % len(nodes)]] for i in range(len(nodes)))


def packs(request, demand, free, allowed):
    """Whether pods of several classes fit onto nodes, by trying every place for every pod."""
    pods = [c for c, count in enumerate(demand) for _ in range(count)]
    free = np.array(free)
    seen = set()

    def rest(position):
        if position == len(pods):
            return True
        state = (position, free.tobytes())
        if state in seen:
            return False
        seen.add(state)
        c = pods[position]
        for node in range(len(free)):
            if allowed[c][node] and all(f >= r for f, r in zip(free[node], request[c], strict=True) if r):
                free[node] -= request[c]
                if rest(position + 1):
                    return True
                free[node] += request[c]
        return False

    return rest(0)


def mixed_choice(tree, constraint, request, demand, free, allowed):
    """(level, count of parts) of the best choice for pods that differ; None when there is none."""
    narrowest = max(constraint.required, constraint.preferred)
    for level in range(narrowest, constraint.required - 1, -1):
        counts = []
        for part in set(tree.partition(level).tolist()):
            nodes = [n for n in range(len(free)) if tree.partition(level)[n] == part]
            if constraint.required != ROOT:
                nodes = [n for n in nodes if tree.domain_idx[constraint.required, n] >= 0]
            units = sorted({int(tree.partition(narrowest)[n]) for n in nodes})
            for count in range(1, len(units) + 1):
                chosen = (
                    [n for n in nodes if tree.partition(narrowest)[n] in some] for some in combinations(units, count)
                )
                if any(packs(request, demand, free[rows], allowed[:, rows]) for rows in chosen):
                    counts.append(count)
                    break
        if counts:
            return level, min(counts)
    return None


def arrangement(tree, root, request, free):
    """(level, misses) of the best arrangement of a tree of parts, by trying every node for every pod."""
    return arrangement_across([tree], root, request, free)


def arrangement_across(trees, root, request, free):
    """The same where each part names its topology."""
    pods = [
        (c, chain) for leaf, chain in _leaves(root, ()) for c, count in enumerate(leaf.demand) for _ in range(count)
    ]
    free = np.array(free)
    where = {}
    best = None

    def near(tree, nodes, narrow):
        levels = range(narrow, ROOT - 1, -1)
        return next(level for level in levels if len({int(tree.partition(level)[n]) for n in nodes}) == 1)

    def misses(part, around):
        if part.constraint == ANYWHERE and part is not root:
            return sum(misses(child, around) for child in part.children)
        wide = max(around.get(part.tree, ROOT), part.constraint.required)
        around = {**around, part.tree: wide}
        missed = 0
        if part is not root and where.get(part.name):
            narrow = max(wide, part.constraint.preferred)
            missed = narrow - near(trees[part.tree], where[part.name], narrow)
        return missed + sum(misses(child, around) for child in part.children)

    def may(chain, node):
        for part in chain:
            level = part.constraint.required
            if level != ROOT:
                tree = trees[part.tree]
                domains = {int(tree.domain_idx[level, n]) for n in (*where.get(part.name, ()), node)}
                if len(domains) > 1 or min(domains) < 0:
                    return False
        return True

    def rest(position):
        nonlocal best
        if position == len(pods):
            narrow = max(root.constraint.required, root.constraint.preferred)
            key = (-near(trees[root.tree], where[root.name], narrow), misses(root, {}))
            best = key if best is None else min(best, key)
            return
        c, chain = pods[position]
        for node in range(len(free)):
            if all(f >= r for f, r in zip(free[node], request[c], strict=True) if r) and may(chain, node):
                free[node] -= request[c]
                for part in chain:
                    where.setdefault(part.name, []).append(node)
                rest(position + 1)
                for part in chain:
                    where[part.name].pop()
                free[node] += request[c]

    rest(0)
    return None if best is None else (-best[0], best[1])


def _leaves(part, chain):
    chain = (*chain, part)
    if any(part.demand):
        yield part, chain
    for child in part.children:
        yield from _leaves(child, chain)
