"""Pods that cannot be scheduled as they are, because something that they name is not as it should be."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kai_py.core.result import ReasonCode
from kai_py.core.tables.podgroups import PodGroupTable, SubGroupTable
from kai_py.core.tables.pods import NONE, PodState, PodTable

#: What keeps a pod from being scheduled, and the details.
Problem = tuple[ReasonCode, dict[str, str]]


def hold_back(
    pods: PodTable, podgroups: PodGroupTable, subgroups: SubGroupTable, problems: Mapping[int, Problem]
) -> tuple[PodTable, PodGroupTable]:
    """Hold pods back like those with scheduling gates; a podgroup of which nobody else waits is blocked.

    Args:
        pods: all of them.
        podgroups: all of them.
        subgroups: all of them.
        problems: pod -> why it cannot be scheduled.
    """
    if not problems:
        return pods, podgroups
    state = pods.state.copy()
    state[list(problems)] = PodState.GATED
    ours = pods.subgroup_idx != NONE
    fine = set(_groups(np.flatnonzero(ours & (state == PodState.PENDING)), pods, subgroups))
    blocked: dict[int, Problem] = {}
    for pod, problem in sorted(problems.items()):
        if pods.subgroup_idx.item(pod) == NONE:
            continue
        (group,) = _groups([pod], pods, subgroups)
        if group not in fine:
            blocked.setdefault(group, problem)
    podgroups = dataclasses.replace(podgroups, blocked={**blocked, **podgroups.blocked})
    return dataclasses.replace(pods, state=state), podgroups


def queues_of(
    rows: Iterable[int], pods: PodTable, subgroups: SubGroupTable, podgroups: PodGroupTable, queues: Sequence[str]
) -> dict[int, str]:
    """Names of the queues of some pods, as far as those are ours."""
    found = {}
    for pod in rows:
        if pods.subgroup_idx.item(pod) == NONE:
            continue
        queue = podgroups.queue_idx.item(subgroups.podgroup_idx.item(pods.subgroup_idx.item(pod)))
        if queue >= 0:
            found[pod] = queues[queue]
    return found


def _groups(rows: Iterable[int], pods: PodTable, subgroups: SubGroupTable) -> list[int]:
    return [subgroups.podgroup_idx.item(pods.subgroup_idx.item(row)) for row in rows]
