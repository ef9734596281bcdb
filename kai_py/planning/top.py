"""``top``: who holds most of the cluster, and how full each node is; as the next cycle would count it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from kai_py.core.resources import CPU, GPU, MEMORY, Amounts, Mask
from kai_py.core.tables.pods import NONE, USING
from kai_py.core.tables.snapshot import Snapshot
from kai_py.errors import InputError
from kai_py.planning.manifests import Manifest, Sourced
from kai_py.planning.objects import read_objects
from kai_py.planning.plan import furnish, moment_of
from kai_py.settings.model import Settings

Json = dict[str, Any]

_SHOWN: Final = (GPU, CPU, MEMORY)


def top(objects: Iterable[Sourced | Manifest], now: str | None = None) -> Json:
    """What podgroups and nodes hold.

    Args:
        objects: the cluster.
        now: RFC 3339; by default the present.

    Returns:
        ``podGroups``: those that have somebody on a node, most GPUs first, with ``queue``, ``pods``, ``nodes`` (how
        many), ``since`` and ``holds``; ``nodes``: by name, with ``pods``, ``holds`` (as queues are charged, other
        schedulers' pods included). Amounts are in devices, millicores and bytes.

    Raises:
        InputError: with the faults of all objects.
    """
    moment = moment_of(now)
    read = read_objects(objects, moment)
    world, warnings = furnish(read, read.settings or Settings(), moment)
    if read.faults:
        raise InputError(read.faults)
    snapshot = world.store.take(moment)
    here = np.isin(snapshot.pods.state, USING) & (snapshot.pods.node_idx != NONE)
    return {
        "apiVersion": "kai-py/v1",
        "kind": "Top",
        "podGroups": _podgroups(snapshot, here),
        "nodes": _nodes(snapshot, here),
        "warnings": [*read.warnings, *warnings],
    }


def _podgroups(snapshot: Snapshot, here: Mask) -> list[Json]:
    pods, podgroups = snapshot.pods, snapshot.podgroups
    rows = np.flatnonzero(here & (pods.subgroup_idx != NONE))
    of_row = snapshot.subgroups.podgroup_idx[pods.subgroup_idx[rows]]
    found = []
    for row in np.unique(of_row).tolist():  # only those that run
        members = rows[of_row == row]
        queue = podgroups.queue_idx.item(row)
        started = podgroups.history.started.item(row) if podgroups.history is not None else -np.inf
        found.append(
            {
                "podGroup": f"{podgroups.keys[row].namespace}/{podgroups.keys[row].name}",
                "queue": snapshot.queues.names[queue] if queue != NONE else "",
                "pods": len(members),
                "nodes": len(np.unique(pods.node_idx[members])),
                "since": datetime.fromtimestamp(started, UTC).isoformat() if np.isfinite(started) else None,
                "holds": _holds(snapshot, snapshot.classes.accounted[pods.class_idx[members]]),
            }
        )
    return sorted(found, key=lambda one: (*(-one["holds"][name] for name in _SHOWN), one["podGroup"]))


def _nodes(snapshot: Snapshot, here: Mask) -> list[Json]:
    pods, nodes = snapshot.pods, snapshot.nodes
    found = []
    for row, name in enumerate(nodes.names):
        members = np.flatnonzero(here & (pods.node_idx == row))
        holds = _holds(snapshot, snapshot.classes.accounted[pods.class_idx[members]])
        found.append({"node": name, "pods": len(members), "holds": holds})
    return found


def _holds(snapshot: Snapshot, accounted: Amounts) -> Json:
    """``(P, A)`` amounts, added up, in units."""
    totals, axis = accounted.sum(axis=0), snapshot.axis
    return {name: totals.item(axis.accounted.index(name)) / axis.accounted_per_unit(name) for name in _SHOWN}
