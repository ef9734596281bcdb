"""The device drivers of a cluster: they publish what nodes offer, keep it up to date, and take it back.

As the library does on which real drivers are built: a pool that changes gets the next generation; its slices are
written one after the other, so that for a moment it is not complete; what has become superfluous goes last.
DeviceClasses come with a driver's first pool, as its installer brings them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

from kai_py.minicluster.devices.classes import device_classes
from kai_py.minicluster.devices.drivers import Pool, fabric_pool, licence_pool, pools_of, slice_name
from kai_py.minicluster.devices.offers import FABRIC_LABEL
from kai_py.minicluster.kinds import NODES, SLICES
from kai_py.minicluster.pools import ZONE_LABEL
from kai_py.minicluster.storage import Storage

from .agenda import Agenda
from .clock import Clock, WallClock
from .mirror import Key, Mirror

Object = dict[str, Any]

DEVICE_CLASSES: Final = "deviceclasses.resource.k8s.io"
_LOOK_AGAIN: Final = 0.1
#: Stands for what is for all nodes; a fabric is (zone, name), and a node has no namespace.
_EVERYWHERE: Final[Key] = "", ""


@dataclass(frozen=True, slots=True)
class _Node:
    """A node as drivers see it: their pools are made of its labels."""

    uid: str
    labels: tuple[tuple[str, str], ...]
    fabric: tuple[str, str] | None
    revision: int = field(compare=False)


class DeviceDrivers:
    """All drivers of all nodes. Pools of a node go with it."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Prepare; ``clock`` is the wall's, if not said."""
        self._clock = clock or WallClock()
        self._agenda: Agenda[Key] = Agenda(self._clock, self._sync)
        self._nodes = Mirror(NODES.key, _seen, self._changed)
        self._installed: set[str] = set()
        self._published: dict[Key, set[tuple[str, str]]] = {}
        self._storage: Storage

    async def run(self, storage: Storage) -> None:
        """Publish until cancelled. This is the worker."""
        self._storage = storage
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._nodes.run(storage))
            tasks.create_task(self._agenda.run())

    def _changed(self, key: Key, before: _Node | None, after: _Node | None) -> None:
        self._agenda.soon(key)
        left = before.fabric if before is not None else None
        joined = after.fabric if after is not None else None
        if left != joined:
            for fabric in (left, joined):
                if fabric is not None:
                    self._agenda.soon(fabric)
            self._agenda.soon(_EVERYWHERE)

    def _sync(self, key: Key) -> None:
        """Publish what a node offers now, or what the fabric brings."""
        if key == _EVERYWHERE or key[0]:
            fabrics = {node.fabric for node in self._nodes.views.values() if node.fabric is not None}
            pool = licence_pool() if key == _EVERYWHERE else fabric_pool(*key)
            self._publish(key, [pool] if key in fabrics or (key == _EVERYWHERE and fabrics) else [], None)
            return
        node = self._storage.find(NODES.key, key[1])
        if node is None:
            self._published.pop(key, None)  # the garbage collector takes the slices
            return
        owner = {"apiVersion": "v1", "kind": "Node", "name": key[1], "uid": node["metadata"]["uid"]}
        self._publish(key, pools_of(node), owner)

    def _publish(self, key: Key, pools: list[Pool], owner: Object | None) -> None:
        before = self._published.get(key, set())
        for pool in pools:
            self._install(pool.driver)
            self._write(key, pool, owner)
        now = {(pool.driver, pool.name) for pool in pools}
        for driver, name in sorted(before - now):
            for one in self._slices(driver, name):
                self._storage.delete(SLICES.key, one["metadata"]["name"])
        if now:
            self._published[key] = now
        else:
            self._published.pop(key, None)

    def _install(self, driver: str) -> None:
        if driver not in self._installed:
            for one in device_classes(driver):
                if self._storage.find(DEVICE_CLASSES, one["metadata"]["name"]) is None:
                    self._storage.create(DEVICE_CLASSES, one)
            self._installed.add(driver)

    def _write(self, key: Key, pool: Pool, owner: Object | None) -> None:
        """Bring a pool to its present state."""
        there = self._slices(pool.driver, pool.name)
        if owner is not None and any(not _owned_by(one, owner["uid"]) for one in there):
            # They belong to an earlier node of this name, and the garbage collector is on its way.
            self._agenda.at(key, self._clock.time() + _LOOK_AGAIN)
            return
        generation = max((one["spec"]["pool"]["generation"] for one in there), default=0)
        if [one["spec"] for one in there] == [one["spec"] for one in pool.slices(generation)]:
            return
        wanted = pool.slices(generation + 1)
        for made, found in zip_longest(wanted, there):
            if found is None:
                if owner is not None:
                    made["metadata"]["ownerReferences"] = [owner]
                self._storage.create(SLICES.key, made)
            elif made is None:
                self._storage.delete(SLICES.key, found["metadata"]["name"])
            else:
                self._storage.update(SLICES.key, found | {"spec": made["spec"]})

    def _slices(self, driver: str, pool: str) -> list[Object]:
        """The slices of a pool that there are: they are numbered, without gaps."""
        found: list[Object] = []
        while (one := self._storage.find(SLICES.key, slice_name(driver, pool, len(found)))) is not None:
            found.append(one)
        return found


def _seen(node: Object) -> _Node:
    meta = node["metadata"]
    labels = meta.get("labels") or {}
    zone, fabric = labels.get(ZONE_LABEL), labels.get(FABRIC_LABEL)
    return _Node(
        uid=meta["uid"],
        labels=tuple(sorted(labels.items())),
        fabric=(zone, fabric) if zone and fabric else None,
        revision=int(meta["resourceVersion"]),
    )


def _owned_by(one: Object, uid: str) -> bool:
    return any(ref["uid"] == uid for ref in one["metadata"].get("ownerReferences") or ())
