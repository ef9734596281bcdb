"""What the cluster must have before a gang starts at all: coscheduling's ``minResources``.

The rule is that of scheduler-plugins' ``CheckClusterResource``: what is free over all nodes, with what the gang itself
holds, is no less than what it names. It says nothing about any one node; placing the pods tells whether they fit.
"""

from __future__ import annotations

import numpy as np

from kai_py.core.result import Reason, ReasonCode
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.pods import ACTIVE, NONE


def below_floor(ledger: Ledger, podgroup: int) -> Reason | None:
    """Tell whether the cluster has what a podgroup wants it to have, before or after it is placed.

    Args:
        ledger: as it stands; what is about to be released counts as free, because a gang may be nominated on it.
        podgroup: row.

    Returns:
        None when it has, or nothing is asked; else the reason, with base units of the first resource that lacks.
    """
    floor = ledger.snapshot.podgroups.floors.get(podgroup)
    if not floor:
        return None
    snapshot = ledger.snapshot
    there = np.maximum(ledger.free + ledger.releasing, 0)[snapshot.nodes.ready].sum(axis=0) + _held(ledger, podgroup)
    for name, wanted in floor:
        column = snapshot.axis.index.get(name)
        have = 0 if column is None else there.item(column)
        if wanted > have:
            details = {"resource": name, "requested": wanted, "free": have}
            return Reason(ReasonCode.MIN_RESOURCES_MISSING, details)
    return None


def _held(ledger: Ledger, podgroup: int) -> np.ndarray:
    """``(R,)`` what pods of the podgroup have on nodes, or were promised."""
    snapshot = ledger.snapshot
    first, end = snapshot.podgroups.offset[podgroup : podgroup + 2].tolist()
    of = snapshot.pods.subgroup_idx
    rows = np.flatnonzero((of >= first) & (of < end) & (ledger.node != NONE) & np.isin(ledger.state, ACTIVE))
    held: np.ndarray = snapshot.classes.request[snapshot.pods.class_idx[rows]].sum(axis=0)
    return held
