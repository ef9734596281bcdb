"""Devices, counters and slices as values: what a driver offers, free of how it was sent.

All amounts (capacities and counters) are integers in billionths of a unit, the finest that a Kubernetes quantity can
say, so that sums and comparisons are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kai_py.core.tables.classes import NodeTerm
from kai_py.core.tables.nodes import Taint

#: Amounts in one unit as a quantity writes it.
UNIT: Final = 10**9

Scalar = int | bool | str


@dataclass(frozen=True, slots=True)
class Attribute:
    """A value of a device, or a list of them.

    Attributes:
        kind: ``int``, ``bool``, ``string`` or ``version``; empty = nothing that we know.
        values: one, or those of a list.
        many: whether it was written as a list, which selectors see and constraints do not.
    """

    kind: str = ""
    values: tuple[Scalar, ...] = ()
    many: bool = False

    @property
    def members(self) -> frozenset[tuple[str, Scalar]]:
        """The values as constraints compare them: with their kind, because 1 and true are not the same."""
        return frozenset((self.kind, value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Range:
    """Amounts from ``least`` on, in whole steps; None = no end, no steps."""

    least: int
    most: int | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How a request for a capacity is rounded; ``choices`` ascend."""

    default: int | None = None
    choices: tuple[int, ...] = ()
    range: Range | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much of something a device has, and how it is given out."""

    value: int
    policy: Policy | None = None


@dataclass(frozen=True, slots=True)
class Consumption:
    """What a device takes of one counter set: (counter, amount)."""

    counter_set: str
    amounts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class CounterSet:
    """Counters that devices of a pool share."""

    name: str
    counters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Reach:
    """From which nodes something can be used: one that is named, those that a term matches, or all of them."""

    node: str = ""
    term: NodeTerm | None = None


EVERYWHERE: Final = Reach()


@dataclass(frozen=True, slots=True)
class NodeShare:
    """What an allocation of a device takes of its node's own resource (KEP-5517).

    Attributes:
        resource: cpu, memory, …
        capacity: the capacity of which the consumed amount counts; empty = a fixed amount.
        multiplier: of that amount, or the fixed amount itself.
    """

    resource: str
    capacity: str = ""
    multiplier: int = UNIT


@dataclass(frozen=True, slots=True, eq=False)
class Device:
    """A device. Two are the same only if they are the same object: names repeat across pools and generations.

    Attributes:
        name: unique in its pool, if the pool is valid.
        driver: whose it is; attributes and capacities without a domain belong to it.
        attributes: by name as sent.
        capacities: by name as sent.
        consumes: what it takes of the pool's counter sets.
        reach: from where it can be used, where its slice leaves that to the devices; else None.
        taints: including those of taint rules.
        binds_to_node: an allocation is good for the node only on which it was made.
        conditions: that must be true before a pod is bound.
        failures: conditions that make the allocation void.
        shareable: several claims may have a part of it.
        node_shares: what it takes of its node beside itself.
    """

    name: str
    driver: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    capacities: Mapping[str, Capacity] = field(default_factory=dict)
    consumes: tuple[Consumption, ...] = ()
    reach: Reach | None = None
    taints: tuple[Taint, ...] = ()
    binds_to_node: bool = False
    conditions: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    shareable: bool = False
    node_shares: tuple[NodeShare, ...] = ()

    def attribute(self, name: str) -> Attribute | None:
        """An attribute by its full name; the driver's own may be written without the domain."""
        return self.attributes.get(self.own_name(name, self.attributes))

    def own_name(self, name: str, among: Mapping[str, object]) -> str:
        """How the device writes a fully qualified name: as it is, or without its driver's domain."""
        if name in among:
            return name
        domain, _, bare = name.partition("/")
        return bare if domain == self.driver else name


class DeviceId(NamedTuple):
    """How claims name a device."""

    driver: str
    pool: str
    device: str


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a pool.

    Attributes:
        name: of the object; decides about the order within a pool.
        driver: of all its devices.
        pool: name of the pool, unique to the driver.
        generation: of the pool; slices of an older one are obsolete.
        count: how many slices this generation has.
        reach: from where it can be used; None = every device says that itself.
        devices: in the driver's order.
        counter_sets: that devices of the pool consume.
    """

    name: str
    driver: str
    pool: str
    generation: int = 0
    count: int = 1
    reach: Reach | None = EVERYWHERE
    devices: tuple[Device, ...] = ()
    counter_sets: tuple[CounterSet, ...] = ()
