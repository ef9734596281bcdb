"""How well the devices are used, and how broken up the free ones are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np
from prometheus_client.core import GaugeMetricFamily

from kai_py.core.dra.inventory import NOWHERE
from kai_py.core.resources import ACCOUNTED, DEVICE, GPU, Mask, Shares
from kai_py.core.tables.pods import NONE, USING
from kai_py.core.tables.snapshot import Snapshot
from kai_py.telemetry.families import Family
from kai_py.telemetry.sizes import gpus_of

GPUS: Final = Family(
    "kai_py_gpus",
    "GPUs of nodes as far as queues pay for whole ones, by state: held by pods of whomever, free, or unavailable: idle "
    "on a node that is cordoned or not ready.",
    ("state",),
)
NODES: Final = Family(
    "kai_py_nodes",
    "Nodes with GPUs that take pods, by how many whole GPUs are free there.",
    ("free_gpus",),
)
FRAGMENTATION: Final = Family(
    "kai_py_gpu_fragmentation_ratio",
    "Part of the free GPUs that is on nodes where other GPUs are held; 0 = all free GPUs are on empty nodes.",
)
DEVICES: Final = Family(
    "kai_py_devices",
    "Devices that ResourceSlices offer, by driver and state: allocated to a ResourceClaim, also in part, or free.",
    ("driver", "state"),
)
FAMILIES: Final = (GPUS, NODES, FRAGMENTATION, DEVICES)
#: Labels of ``kai_py_nodes`` and the number of free GPUs from which on each counts.
_FREE: Final = {"0": 0, "1": 1, "2 to 3": 2, "4 to 7": 4, "8 and more": 8}
_GPU: Final = ACCOUNTED.index(GPU)


def room(snapshot: Snapshot | None) -> Iterator[GaugeMetricFamily]:
    """All families, as of a snapshot."""
    gpus, nodes, fragmentation, devices = (family.gauge() for family in FAMILIES)
    if snapshot is not None:
        has = capacity(snapshot)
        with_gpus = has > 0
        free = np.maximum(has - _held(snapshot), 0.0)
        open_ = snapshot.nodes.ready & ~snapshot.nodes.cordoned
        gpus.add_metric(["held"], float((has - free).sum()) / DEVICE)
        gpus.add_metric(["free"], float(free[open_].sum()) / DEVICE)
        gpus.add_metric(["unavailable"], float(free[~open_].sum()) / DEVICE)
        for label, count in _by_free(free[open_ & with_gpus]).items():
            nodes.add_metric([label], count)
        fragmentation.add_metric([], _broken_up(has, free, open_))
        for (driver, state), count in sorted(_devices(snapshot).items()):
            devices.add_metric([driver, state], count)
    yield from (gpus, nodes, fragmentation, devices)


def capacity(snapshot: Snapshot) -> Shares:
    """``(N,)`` GPUs that a node has to itself, base units: of device plugins, and devices that are charged whole."""
    found = (snapshot.nodes.allocatable @ snapshot.axis.accounting[:, _GPU]).astype(np.float64)
    for counted in snapshot.claims.counted if snapshot.claims is not None else ():
        if counted.column == _GPU and snapshot.claims is not None:
            inventory = snapshot.claims.inventory
            homes = inventory.node_idx[[inventory.devices_of_id[one][0] for one in sorted(counted.devices)]]
            found += counted.unit * np.bincount(homes[homes != NOWHERE], minlength=len(found))
    return found


def _held(snapshot: Snapshot) -> Shares:
    """``(N,)`` GPUs that pods on each node hold, base units."""
    pods = snapshot.pods
    there = np.isin(pods.state, USING) & (pods.node_idx != NONE)
    held = np.bincount(pods.node_idx[there], weights=gpus_of(snapshot)[there], minlength=len(snapshot.nodes))
    return np.asarray(held, dtype=np.float64)


def _by_free(free: Shares) -> dict[str, int]:
    least = [ceiling * DEVICE for ceiling in _FREE.values()]
    rows = np.searchsorted(least, free, side="right") - 1
    return dict(zip(_FREE, np.bincount(rows, minlength=len(_FREE)).tolist(), strict=True))


def _broken_up(has: Shares, free: Shares, usable: Mask) -> float:
    total = float(free[usable].sum())
    whole = float(free[usable & (free == has)].sum())
    return 1.0 - whole / total if total else 0.0


def _devices(snapshot: Snapshot) -> Counter[tuple[str, str]]:
    table = snapshot.claims
    if table is None:
        return Counter()
    taken = {take.identity for row in table.claims if row.held is not None for take in row.held.takes}
    return Counter(
        (identity.driver, "allocated" if row in taken else "free") for row, identity in enumerate(table.inventory.ids)
    )
