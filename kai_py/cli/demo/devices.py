"""The books of who has which device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kai_py.cli.demo.world import SLICES, Thing, World
from kai_py.kube.wire import EventType
from kai_py.minicluster.quantities import amount

Json = dict[str, Any]
#: Driver, pool and name of a device.
DeviceKey = tuple[str, str, str]


class DeviceBooks:
    """Who has which device, by what claims say; arithmetic of its own, none of it the scheduler's.

    Args:
        world: knows what drivers offer.
        fault: told what must not have happened.

    Attributes:
        given: devices that were allocated to claims, ever.
    """

    def __init__(self, world: World, fault: Callable[[str], None]) -> None:
        self.given = 0
        self._world = world
        self._fault = fault
        self._held: dict[str, list[Json]] = {}
        self._holder: dict[DeviceKey, str] = {}

    def hear(self, event: EventType, claim: Thing) -> None:
        """Look at a change of a claim."""
        name = "/".join(claim.metadata.key)
        results = [] if event == "DELETED" else list(_results(claim))
        before = self._held.pop(name, [])
        if results:
            self._held[name] = results
        if results == before:
            return
        for result in before:
            if self._holder.get(_key(result)) == name:
                del self._holder[_key(result)]
        self.given += len(results)
        for result in results:
            self._give(result, name)
        if results:
            self._look()

    def close(self) -> None:
        """Look at what must hold at the end: what nobody uses any more has been given back."""
        for name in self._held:
            self._fault(f"claim {name} kept its devices to the end")

    def _give(self, result: Json, name: str) -> None:
        if result.get("shareID"):
            return  # it may be shared; how much of it is looked at with the rest
        driver, pool, device = key = _key(result)
        if key in self._holder:
            self._fault(f"device {device} of {driver} in pool {pool} was given to {self._holder[key]} and to {name}")
        self._holder[key] = name

    def _look(self) -> None:
        """Nothing is cut or shared into more than it is."""
        offered, devices = self._offered()
        used: Counter[tuple[str, ...]] = Counter()
        cut: set[DeviceKey] = set()
        for result in (one for results in self._held.values() for one in results):
            key = _key(result)
            for name, quantity in (result.get("consumedCapacity") or {}).items():
                used[*key, name] += _units(quantity)
            if key in cut:
                continue  # a shared device takes its counters once
            cut.add(key)
            for use in (devices.get(key) or {}).get("consumesCounters", ()):
                for name, one in use["counters"].items():
                    used[key[0], key[1], use["counterSet"], name] += _units(one["value"])
        for what, units in used.items():
            if units > offered.get(what, 0):
                self._fault(f"{'/'.join(what)} was given away {units} times of {offered.get(what, 0)}")

    def _offered(self) -> tuple[Mapping[tuple[str, ...], int], Mapping[DeviceKey, Json]]:
        """What there is of each counter and capacity, and the devices."""
        offered: dict[tuple[str, ...], int] = {}
        devices: dict[DeviceKey, Json] = {}
        for one in self._world.all(SLICES):
            driver, pool = one.spec["driver"], one.spec["pool"]["name"]
            for counter_set in one.spec.get("sharedCounters") or ():
                for name, counter in counter_set["counters"].items():
                    offered[driver, pool, counter_set["name"], name] = _units(counter["value"])
            for device in one.spec.get("devices") or ():
                devices[driver, pool, device["name"]] = device
                for name, capacity in (device.get("capacity") or {}).items():
                    offered[driver, pool, device["name"], name] = _units(capacity["value"])
        return offered, devices


def _results(claim: Thing) -> Iterator[Json]:
    """The devices that a claim has, but for those that it only looks at."""
    allocation = claim.status.get("allocation") or {}
    for result in (allocation.get("devices") or {}).get("results") or ():
        if not result.get("adminAccess"):
            yield result


def _key(result: Json) -> DeviceKey:
    return result["driver"], result["pool"], result["device"]


def _units(quantity: str) -> int:
    """In thousandths: exact for all that drivers publish."""
    return int(amount(str(quantity)) * 1000)
