"""Clusters with NUMA nodes: sizes in cores and devices, two zones each unless told otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kai_py.core.resources import DEVICE
from kai_py.core.tables.snapshot import Snapshot
from kai_py.core.tables.zones import Alignment, Need, Policy, ZoneTable
from tests.core.builders import Pod, cluster

RESOURCES = ("cpu", "nvidia.com/gpu")


@dataclass(frozen=True)
class Zoned:
    """A node's zones as (cores, GPUs): how large they are, and what its exporter says is free; by default all."""

    zones: Sequence[tuple[int, int]] = ((4, 4), (4, 4))
    free: Sequence[tuple[int, int]] | None = None
    policy: Policy = Policy.SINGLE
    by_pod: bool = True


def need(cpu: int = 0, gpus: int = 0) -> Need:
    amounts = (("cpu", cpu * 1000), ("nvidia.com/gpu", gpus * DEVICE))
    return tuple((name, units) for name, units in amounts if units)


def aligned(cpu: int = 0, gpus: int = 0, *containers: tuple[int, int], **what: object) -> Pod:
    """A pod of which all is aligned; with ``containers``, it asks for their sum."""
    units = containers or ((cpu, gpus),)
    cpu, gpus = sum(one[0] for one in units), sum(one[1] for one in units)
    return Pod(
        gpus, cpu=cpu, alignment=Alignment(need(cpu, gpus), tuple(need(*one) for one in units if any(one))), **what
    )


def zoned(zones: Mapping[str, Zoned], *, taken: Mapping[str, Sequence[tuple[int, int, int]]] = {}, **what: object):
    """A snapshot. ``taken`` is what is written down for pods: (zone, cores, GPUs)."""
    return with_zones(cluster(**what), zones, taken)


def with_zones(
    snapshot: Snapshot, zones: Mapping[str, Zoned], taken: Mapping[str, Sequence[tuple[int, int, int]]] = {}
) -> Snapshot:
    names = snapshot.nodes.names
    rows = [zones.get(name) for name in names]
    widest = max((len(one.zones) for one in rows if one), default=0)
    allocatable = np.zeros((len(names), widest, 2), dtype=np.int64)
    available = allocatable.copy()
    for row, one in enumerate(rows):
        if one:
            allocatable[row, : len(one.zones)] = np.array(one.zones) * [1000, DEVICE]
            available[row, : len(one.zones)] = np.array(one.free or one.zones) * [1000, DEVICE]
    keys = [key.name for key in snapshot.pods.keys]
    records = {
        keys.index(pod): tuple(
            part for zone, cpu, gpus in seats for part in ((zone, 0, cpu * 1000), (zone, 1, gpus * DEVICE)) if part[2]
        )
        for pod, seats in taken.items()
        if any(cpu or gpus for _, cpu, gpus in seats)
    }
    table = ZoneTable(
        resources=RESOURCES,
        names=tuple(tuple(f"node-{n}" for n in range(len(one.zones))) if one else () for one in rows),
        policy=np.array([one.policy if one else Policy.NONE for one in rows], dtype=np.uint8),
        by_pod=np.array([one.by_pod if one else False for one in rows], dtype=np.bool_),
        allocatable=allocatable,
        available=available,
        reported=allocatable.any(axis=1),
        records=records,
    )
    table.allocatable.flags.writeable = table.available.flags.writeable = False
    return dataclasses.replace(snapshot, zones=table)
