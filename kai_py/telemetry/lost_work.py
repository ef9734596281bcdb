"""What evictions cost: the GPU-seconds of work that will have to be done again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from kai_py.core.options import Options
from kai_py.core.resources import ACCOUNTED, DEVICE, GPU
from kai_py.core.result import Decision, Evict
from kai_py.core.tables.pods import NONE, PodKey
from kai_py.core.tables.snapshot import Snapshot
from kai_py.core.victims.costs import Costs

_GPU = ACCOUNTED.index(GPU)


def lost_work(decisions: Iterable[Decision], snapshot: Snapshot) -> dict[str, float]:
    """GPU-seconds since the start, or the last checkpoint, of the podgroups of evicted pods.

    Args:
        decisions: of a cycle.
        snapshot: what it was computed from.

    Returns:
        By the pods' uid, for all that are evicted. 0 for pods without GPUs, and where nobody knows when work began.
        How long a restart takes is not in it.
    """
    evictions = [one for one in decisions if isinstance(one, Evict)]
    if not evictions:
        return {}
    seconds = Costs(snapshot, Options(restart_seconds=0.0)).seconds
    pods, lost = snapshot.pods, {}
    for evict in evictions:
        namespace, _, name = evict.pod.partition("/")
        row = bisect_left(pods.keys, PodKey(namespace, name, evict.uid))
        known = row < len(pods) and pods.keys[row].uid == evict.uid
        subgroup = pods.subgroup_idx.item(row) if known else NONE
        lost[evict.uid] = 0.0
        if subgroup != NONE:
            gpus = snapshot.classes.accounted.item(pods.class_idx.item(row), _GPU) / DEVICE
            lost[evict.uid] = gpus * seconds.item(snapshot.subgroups.podgroup_idx.item(subgroup))
    return lost
