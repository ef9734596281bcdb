"""Devices and claims in one expression: a test names what it is about, everything else has a default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kai_py.cluster.nodes import label_columns
from kai_py.core.dra.allocation import Allocation
from kai_py.core.dra.allocator import Allocator, AllocatorOptions
from kai_py.core.dra.claims import Alternative, Claim, Constraint, DeviceClass, Request
from kai_py.core.dra.devices import (
    UNIT,
    Attribute,
    Capacity,
    Consumption,
    CounterSet,
    Device,
    DeviceId,
    Policy,
    Reach,
    Slice,
)
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger, Take
from kai_py.core.dra.refusal import Refusal
from kai_py.core.dra.selectors import SelectorError
from kai_py.core.tables.nodes import NodeTable, Taint

DRIVER = "gpu.example.com"


def nodes(*names: str, labels: Mapping[str, Mapping[str, str]] | None = None) -> NodeTable:
    """Nodes of which only name and labels matter."""
    count = len(names)
    return NodeTable(
        names=tuple(sorted(names)),
        allocatable=np.zeros((count, 3), dtype=np.int64),
        ready=np.ones(count, dtype=np.bool_),
        cordoned=np.zeros(count, dtype=np.bool_),
        labels=label_columns([(labels or {}).get(name, {}) for name in sorted(names)]),
        taints=(),
        tainted=np.zeros((count, 0), dtype=np.bool_),
    )


@dataclass(frozen=True)
class Named:
    """A selector of devices by name; () accepts all. ``broken`` names cannot be judged."""

    names: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    def matches(self, device: Device) -> bool:
        if device.name in self.broken:
            raise SelectorError(f"no such key on {device.name}")
        return not self.names or device.name in self.names


@dataclass(frozen=True)
class Kinds:
    """A selector by the attribute ``kind``."""

    kinds: tuple[str, ...]

    def matches(self, device: Device) -> bool:
        found = device.attributes.get("kind")
        return found is not None and found.values[0] in self.kinds


def attribute(value) -> Attribute:
    """By Python type; a tuple is a list, a string that begins with v is a version."""
    many = isinstance(value, tuple)
    values = value if many else (value,)
    first = values[0] if values else None
    kind = {bool: "bool", int: "int", str: "version" if str(first).startswith("v") else "string"}.get(type(first), "")
    return Attribute(kind, tuple(values), many)


def device(
    name: str,
    *,
    driver: str = DRIVER,
    has: Mapping[str, object] | None = None,
    capacity: Mapping[str, int | tuple[int, Policy]] | None = None,
    uses: Mapping[str, Mapping[str, int]] | None = None,
    taints: Sequence[Taint] = (),
    shareable: bool = False,
    **rest,
) -> Device:
    """``uses``: counter set -> counter -> amount. Amounts are whole units."""
    return Device(
        name,
        driver,
        attributes={key: attribute(value) for key, value in (has or {}).items()},
        capacities={
            key: Capacity(value[0] * UNIT, value[1]) if isinstance(value, tuple) else Capacity(value * UNIT)
            for key, value in (capacity or {}).items()
        },
        consumes=tuple(
            Consumption(name, tuple((key, amount * UNIT) for key, amount in sorted(amounts.items())))
            for name, amounts in (uses or {}).items()
        ),
        taints=tuple(taints),
        shareable=shareable,
        **rest,
    )


def counters(**sets: Mapping[str, int]) -> tuple[CounterSet, ...]:
    return tuple(CounterSet(name, tuple((key, n * UNIT) for key, n in sorted(of.items()))) for name, of in sets.items())


def pool(
    name: str = "pool", *devices: Device, node: str = "a", sets: Iterable[CounterSet] = (), generation=0
) -> list[Slice]:
    """All slices of a pool of one node."""
    driver = devices[0].driver if devices else DRIVER
    sets = tuple(sets)
    count = 1 + bool(sets)
    reach = Reach(node=node)
    slices = [Slice(f"{driver}-{name}-1", driver, name, generation, count, reach, devices)]
    if sets:
        slices.append(Slice(f"{driver}-{name}-2", driver, name, generation, count, reach, (), sets))
    return slices


#: (profile, compute slices, memory slices, memory slices at which it can begin)
PROFILES = (
    ("1g", 1, 1, range(7)),
    ("1g+", 1, 2, range(0, 8, 2)),
    ("2g", 2, 2, range(0, 6, 2)),
    ("3g", 3, 4, (0, 4)),
    ("4g", 4, 4, (0,)),
    ("7g", 7, 8, (0,)),
)


def partitioned(*gpus: str) -> list[Slice]:
    """GPUs that can be cut into partitions, each profile at each of its places a device ``<gpu>-<profile>-<place>``."""
    places = {f"s{place}": 1 for place in range(8)}
    parts = [
        device(
            f"{gpu}-{profile}-{place}",
            has={"kind": profile},
            uses={gpu: {"c": compute, "m": memory, **{f"s{k}": 1 for k in range(place, place + memory)}}},
        )
        for gpu in gpus
        for profile, compute, memory, starts in PROFILES
        for place in starts
    ]
    return pool("pool", *parts, sets=counters(**{gpu: {"c": 7, "m": 8, **places} for gpu in gpus}))


def profiles(*wanted: str) -> Claim:
    """A claim for one partition of each of these profiles."""
    return claim(*(want(selectors=(Kinds((profile,)),)) for profile in wanted))


ANY = DeviceClass("any")


def want(
    count: int = 1,
    *names: str,
    name: str = "r",
    admin: bool = False,
    capacity: Mapping[str, int] | None = None,
    device_class: DeviceClass = ANY,
    **rest,
) -> Alternative:
    """``names``: of the devices that qualify; none = all."""
    amounts = {key: value * UNIT for key, value in (capacity or {}).items()}
    selectors = rest.pop("selectors", (Named(names),) if names else ())
    return Alternative(name, device_class, selectors, count, admin, capacity=amounts, **rest)


def request(name: str, *alternatives: Alternative) -> Request:
    """One alternative is written ``exactly``, several as a list."""
    listed = len(alternatives) > 1
    named = []
    for i, one in enumerate(alternatives):
        full = f"{name}/{i}" if listed else name
        named.append(
            Alternative(
                full, one.device_class, one.selectors, one.count, one.admin, one.tolerations, capacity=one.capacity
            )
        )
    return Request(name, tuple(named), listed)


def claim(*wanted: Alternative | Request, same: str = "", different: str = "", name: str = "claim", **rest) -> Claim:
    """Requests are named r0, r1, …; ``same`` and ``different`` name an attribute of all their devices."""
    requests = tuple(one if isinstance(one, Request) else request(f"r{i}", one) for i, one in enumerate(wanted))
    constraints = list(rest.pop("constraints", ()))
    if same:
        constraints.append(Constraint(same))
    if different:
        constraints.append(Constraint(different, distinct=True))
    return Claim(name, requests, tuple(constraints), **rest)


def own(name: str) -> str:
    """The full name of an attribute of the default driver."""
    return f"{DRIVER}/{name}"


class World:
    """An inventory with its allocator and ledger."""

    def __init__(self, *pools: Sequence[Slice], table: NodeTable | None = None, options=None) -> None:
        self.slices = [one for found in pools for one in found]
        names = {one.reach.node for one in self.slices if one.reach is not None and one.reach.node}
        self.nodes = table or nodes(*(names or {"a"}))
        self.inventory = Inventory.of(self.slices, self.nodes)
        self.allocator = Allocator(self.inventory, options=options or AllocatorOptions())
        self.ledger = DeviceLedger(self.inventory)

    def allocate(self, *claims: Claim, node: str = "a") -> Allocation | Refusal:
        return self.allocator.allocate(claims, self.nodes.names.index(node), self.ledger)

    def commit(self, *claims: Claim, node: str = "a") -> Allocation:
        found = self.allocate(*claims, node=node)
        assert isinstance(found, Allocation), found
        self.ledger.take(found.takes(self.inventory))
        return found

    def occupy(self, *names: str, pool: str = "pool", driver: str = DRIVER) -> None:
        """Somebody else has these devices."""
        self.ledger.take(self.taken(*names, pool=pool, driver=driver))

    def taken(self, *names: str, pool: str = "pool", driver: str = DRIVER) -> list[Take]:
        """What somebody takes who has these devices."""
        return [Take(self.inventory.row_of_id[DeviceId(driver, pool, name)]) for name in names]


def gpus(count, **more):
    return [device(f"g{i}", **more) for i in range(count)]


def zoned(**zones):
    return World(pool("pool", *(device(name, has={"zone": zone}) for name, zone in zones.items())))


def given(found: Allocation | Refusal) -> list[list[tuple[str, str]]]:
    """Per claim (request, device)."""
    assert isinstance(found, Allocation), found
    return [[(one.request, one.device) for one in claim.devices] for claim in found.claims]


def names(found: Allocation | Refusal) -> list[str]:
    """Just the devices, in order."""
    return [device for claim in given(found) for _, device in claim]
