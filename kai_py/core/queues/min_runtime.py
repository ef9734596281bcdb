"""For how long a podgroup is safe from eviction after its start (KAI Scheduler's minimum runtime page)."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan

from kai_py.core.options import Options
from kai_py.core.resources import Shares
from kai_py.core.tables.queues import QueueTable


def preempt_min_runtime(queues: QueueTable, victim: int, options: Options) -> float:
    """Seconds before preemption within a queue: the nearest value from the leaf upwards, else the default."""
    return _nearest(queues.preempt_min_runtime, queues.paths[victim], options.preempt_min_runtime)


def reclaim_min_runtime(queues: QueueTable, victim: int, reclaimer: int, options: Options) -> float:
    """Seconds before reclaim by another queue.

    With ``lca``, the nearest value from the victim's ancestor just below the lowest common one upwards: who shares a
    department goes by its teams' values, who does not by the departments'. With ``queue``, from the leaf upwards.
    """
    path = queues.paths[victim]
    if options.reclaim_resolution == "lca":
        common = set(queues.paths[reclaimer])
        below = next((at for at, queue in enumerate(path) if queue in common), len(path))
        path = path[max(0, below - 1) :]
    return _nearest(queues.reclaim_min_runtime, path, options.reclaim_min_runtime)


def _nearest(values: Shares | None, path: Iterable[int], default: float) -> float:
    if values is None:
        return default
    return next((values.item(queue) for queue in path if not isnan(values.item(queue))), default)
