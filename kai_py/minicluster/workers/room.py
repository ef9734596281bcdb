"""What a pod asks for and what a node has left: a kubelet's own arithmetic.

Deliberately not the scheduler's: this is what finds out when the scheduler has miscounted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from kai_py.minicluster.quantities import amount

Object = dict[str, Any]
#: Resource → base units (millicores, bytes, pieces), without zeros, by name.
Amounts = tuple[tuple[str, int], ...]

#: Resources for which a pod-level request replaces what the containers say.
_POD_LEVEL: Final = ("cpu", "memory", "hugepages-")


def requests_of(
    spec: Object, *, claimed: frozenset[str] = frozenset(), taken: Iterable[Mapping[str, str]] = ()
) -> Amounts:
    """What a pod with this spec takes from its node, itself included: it is one of the node's ``pods``.

    Args:
        spec: of the pod.
        claimed: extended resources that a claim on devices stands for: not the node gives them.
        taken: what devices of its claims take of the node, as its status says.
    """
    running: dict[str, int] = {"pods": 1}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        asked = _units_of(container)
        if container.get("restartPolicy") == "Always":
            _add(running, asked)
        else:
            # An init container runs beside the sidecars that were started before it, and before the containers.
            _raise_to(peak, {name: asked.get(name, 0) + running.get(name, 0) for name in asked.keys() | running.keys()})
    for container in spec.get("containers") or ():
        _add(running, _units_of(container))
    _raise_to(running, peak)
    for resources in taken:
        _add(running, {name: _units(name, text) for name, text in resources.items()})
    running |= {name: units for name, units in _units_of(spec).items() if name.startswith(_POD_LEVEL)}
    _add(running, {name: _units(name, text) for name, text in (spec.get("overhead") or {}).items()})
    return _shared(tuple(sorted((name, units) for name, units in running.items() if units and name not in claimed)))


def _units_of(container: Object) -> dict[str, int]:
    requests = (container.get("resources") or {}).get("requests") or {}
    return {name: _units(name, text) for name, text in requests.items()}


@lru_cache(maxsize=65536)
def _units(name: str, quantity: str) -> int:
    return math.ceil(amount(quantity) * (1000 if name == "cpu" else 1))


@lru_cache(maxsize=4096)
def _shared(amounts: Amounts) -> Amounts:
    """The same object for equal amounts: thousands of pods ask for the same."""
    return amounts


def _add(total: dict[str, int], asked: Mapping[str, int]) -> None:
    for name, units in asked.items():
        total[name] = total.get(name, 0) + units


def _raise_to(total: dict[str, int], least: Mapping[str, int]) -> None:
    for name, units in least.items():
        total[name] = max(total.get(name, 0), units)


def offered_by(node: Object) -> Amounts:
    """What a node can give to pods, from its allocatable."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    return _shared(tuple(sorted((name, _units(name, text)) for name, text in allocatable.items())))


class Shortage(Exception):  # noqa: N818  # not an error: a kubelet's answer, caught where it asks
    """A node has not enough of a resource."""

    def __init__(self, resource: str, requested: int, used: int, capacity: int) -> None:
        super().__init__(
            f"Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
        )
        self.resource = resource


class Rooms:
    """Who holds how much on which node. A pod that is leaving holds it until it is gone."""

    def __init__(self) -> None:
        self._used: dict[str, dict[str, int]] = {}
        self._held: dict[str, tuple[str, Amounts]] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._held

    def used(self, node: str) -> dict[str, int]:
        """What is held on a node."""
        return {name: units for name, units in self._used.get(node, {}).items() if units}

    def admit(self, uid: str, node: str, requests: Amounts, offered: Amounts) -> None:
        """Let a pod hold what it asks for, if the node still has it.

        Raises:
            Shortage: it does not, and nothing has changed. The first resource by name is told.
        """
        used, capacity = self._used.get(node, {}), dict(offered)
        for name, units in requests:
            if used.get(name, 0) + units > capacity.get(name, 0):
                raise Shortage(name, units, used.get(name, 0), capacity.get(name, 0))
        self.hold(uid, node, requests)

    def hold(self, uid: str, node: str, requests: Amounts) -> None:
        """Let a pod hold what it asks for, without a question: it was running before we looked."""
        self._held[uid] = node, requests
        _add(self._used.setdefault(node, {}), dict(requests))

    def release(self, uids: Iterable[str]) -> None:
        """Take back what pods hold, if they do."""
        for uid in uids:
            node, requests = self._held.pop(uid, ("", ()))
            for name, units in requests:
                self._used[node][name] -= units
