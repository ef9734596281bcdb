"""Where many equal pods go, one after the other: worked out for all of them before the first is placed."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heapreplace

import numpy as np

from kai_py.core.resources import Amounts, Mask, Rows, Shares

#: Values nodes with other amounts than they have: rows, ``(K, R)`` free, ``(K, R)`` free later -> values, room now.
Judge = Callable[[Rows, Amounts, Amounts], tuple[Shares, Mask]]


def places_ahead(
    judge: Judge, value: Shares, now: Mask, free: Amounts, later: Amounts, request: Amounts, limit: int
) -> list[int]:
    """The best node for the first pod, then for the second with the first one placed, and so on.

    A pod changes nothing but what its own node is worth. So only those nodes are looked at that are best to begin
    with and have room for all together, each with one pod more, two more, …; as soon as a node beside them would be
    better, or who comes next would have to wait for room, the rest is left for another time.

    Args:
        judge: values nodes; to the bit what ``value`` and ``now`` say for what they have.
        value: ``(N,)``, -inf where a pod may not go.
        now: ``(N,)`` whether it could start there at once.
        free: ``(N, R)``
        later: ``(N, R)`` once leaving pods are gone.
        request: ``(R,)`` of one pod.
        limit: how many pods at most.

    Returns:
        Rows of nodes, one for each pod.
    """
    nodes = _best(value, limit)
    if not nodes.size or not now.item(int(nodes[0])):
        return []
    asked = request > 0
    steps = np.clip((free[nodes][:, asked] // request[asked]).min(axis=1, initial=limit), 0, limit)
    enough = int(np.searchsorted(np.cumsum(steps), limit)) + 1
    nodes, steps = nodes[:enough], steps[:enough]
    begin = np.cumsum(steps) - steps
    rows = np.repeat(nodes, steps)
    taken = (np.arange(len(rows)) - np.repeat(begin, steps) + 1)[:, None] * request
    values, nows = judge(rows, free[rows] - taken, later[rows] - taken)
    beside = value.copy()
    beside[nodes] = -np.inf
    rival = int(beside.argmax())
    return _merge(
        [(-value.item(node), node) for node in nodes.tolist()],
        (-beside.item(rival), rival),
        dict(zip(nodes.tolist(), zip(now[nodes].tolist(), begin.tolist(), steps.tolist(), strict=True), strict=True)),
        (-values).tolist(),
        nows.tolist(),
        limit,
    )


def _merge(
    heap: list[tuple[float, int]],
    rival: tuple[float, int],
    course: dict[int, tuple[bool, int, int]],
    values: list[float],
    nows: list[bool],
    limit: int,
) -> list[int]:
    """Take the best node again and again.

    Args:
        heap: negative value and row of each node.
        rival: the same of the best node that is not among them.
        course: by node, whether there is room now, where in ``values`` the next begins, and how many are left of it.
        values: negative values after each pod.
        nows: whether there is room now after each pod.
        limit: how many at most.
    """
    heapify(heap)
    places: list[int] = []
    while len(places) < limit and heap[0] < rival and heap[0][0] != np.inf:
        node = heap[0][1]
        now, position, left = course[node]
        if not now or not left:
            break
        places.append(node)
        course[node] = nows[position], position + 1, left - 1
        heapreplace(heap, (values[position], node))
    return places


def _best(value: Shares, count: int) -> Rows:
    """The nodes of most value, at most so many, the best first, the first by row among equals."""
    if count < len(value):
        least = np.partition(value, -count)[-count]
        above, level = np.flatnonzero(value > least), np.flatnonzero(value == least)
        rows = np.sort(np.concatenate([above, level[: count - len(above)]]))
    else:
        rows = np.arange(len(value))
    rows = rows[value[rows] != -np.inf]
    return np.asarray(rows[np.argsort(-value[rows], kind="stable")], dtype=np.int32)
