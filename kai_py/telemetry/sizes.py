"""Podgroups by size: few classes, so that metrics stay few however many podgroups there are."""

from __future__ import annotations

from typing import Final

import numpy as np

from kai_py.core.resources import ACCOUNTED, DEVICE, GPU, Rows, Shares
from kai_py.core.tables.pods import NONE
from kai_py.core.tables.snapshot import Snapshot

#: By the GPUs of all unfinished pods of a podgroup, parts of GPUs included.
SIZES: Final = ("none", "up to 1", "up to 8", "up to 64", "up to 512", "more")
_CEILINGS: Final = np.array([0, 1, 8, 64, 512], dtype=np.float64) * DEVICE
_GPU: Final = ACCOUNTED.index(GPU)


def gpus_of(snapshot: Snapshot) -> Shares:
    """``(P,)`` what each pod costs its queue in GPUs, base units."""
    accounted = snapshot.classes.accounted[:, _GPU] if len(snapshot.classes) else np.zeros(0)
    return accounted[snapshot.pods.class_idx].astype(np.float64)


def size_idx(snapshot: Snapshot) -> Rows:
    """``(G,)`` row in ``SIZES`` of each podgroup."""
    pods = snapshot.pods
    ours = pods.subgroup_idx != NONE
    groups = snapshot.subgroups.podgroup_idx[pods.subgroup_idx[ours]]
    gpus = np.bincount(groups, weights=gpus_of(snapshot)[ours], minlength=len(snapshot.podgroups))
    return np.searchsorted(_CEILINGS, gpus, side="left").astype(np.int32)
