"""Claims as rows of a snapshot, each worked out once: most claims do not change between two snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kai_py.api.keys import QUEUE_LABEL
from kai_py.api.resource import Allocation, ResourceClaim
from kai_py.api.selectors import NodeSelector
from kai_py.cluster.bills import Prices
from kai_py.cluster.claim_objects import Name
from kai_py.cluster.devices.claims import ClaimReader
from kai_py.cluster.devices.reach import terms_of
from kai_py.cluster.devices.results import of_node, taken_by
from kai_py.cluster.node_prices import NodePrices
from kai_py.cluster.pod_group_claims import is_pod_group
from kai_py.core.dra.claims import Claim
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.table import ClaimRow, Held
from kai_py.errors import Fault, MalformedObjectError


@dataclass(frozen=True, slots=True)
class Laid:
    """A claim, ready for a snapshot.

    Attributes:
        name: namespace and name.
        row: its row, but for whom it is reserved for.
        cost: per bill, what a queue pays for it.
        problem: why nobody who waits can be served by it; None = nothing.
        queue: the label of its queue.
        reserved: uids of pods, and of others that are no PodGroups, that it is reserved for.
        pod_groups: uids of PodGroups that it is reserved for.
    """

    name: Name
    row: ClaimRow
    cost: tuple[int, ...] = ()
    problem: Fault | None = None
    queue: str | None = None
    reserved: tuple[str, ...] = ()
    pod_groups: tuple[str, ...] = ()


@dataclass
class Shelf:
    """The claims of a snapshot: those that can be understood, sorted by name, and the row of each."""

    claims: list[Laid] = field(default_factory=list)
    row_of: dict[Name, int] = field(default_factory=dict)


class LaidClaims:
    """All ResourceClaims, laid out.

    Args:
        reader: knows the classes; :meth:`forget` when one of them changes.
        objects: the claims by name; :meth:`changed` when one of them changes, comes or goes.

    Attributes:
        faults: claims whose allocation cannot be understood.
    """

    def __init__(self, reader: ClaimReader, objects: Mapping[Name, ResourceClaim]) -> None:
        self.faults: dict[Name, tuple[Fault, ...]] = {}
        self._reader = reader
        self._objects = objects
        self._known: dict[Name, Laid | None] = {}
        self._prices: Sequence[Prices | NodePrices] = ()
        self._order: list[Name] | None = None
        self._shelf: Shelf | None = None

    def changed(self, name: Name) -> None:
        """A claim is not what it was."""
        if name not in self._objects:
            self.faults.pop(name, None)
            self._order = None
        elif name not in self._known:
            self._order = None  # it may be new
        self._known.pop(name, None)
        self._shelf = None

    def forget(self) -> None:
        """Work everything out anew."""
        self._known.clear()
        self._shelf = None

    def at(self, inventory: Inventory, prices: Sequence[Prices | NodePrices]) -> Shelf:
        """All claims; of those with devices the rows depend on the inventory.

        Args:
            inventory: the devices.
            prices: per bill; other objects mean that prices have changed.
        """
        if self._prices is not prices:
            self.forget()
            self._prices = prices
        if self._shelf is None:
            if self._order is None:
                self._order = sorted(self._objects)
            self._shelf = Shelf()
            for name in self._order:
                if (laid := self._laid(name, inventory)) is not None:
                    self._shelf.row_of[name] = len(self._shelf.claims)
                    self._shelf.claims.append(laid)
        return self._shelf

    def _laid(self, name: Name, inventory: Inventory) -> Laid | None:
        try:
            return self._known[name]
        except KeyError:
            laid = self._known[name] = self._lay(name, self._objects[name], inventory)
            return laid

    def _lay(self, name: Name, claim: ResourceClaim, inventory: Inventory) -> Laid | None:
        where, allocation = f"ResourceClaim {'/'.join(name)}", claim.status.allocation
        self.faults.pop(name, None)
        problem: Fault | None = None
        try:
            asked = self._reader.read(claim)
        except MalformedObjectError as error:
            asked = Claim(where)
            problem = error.faults[0] if allocation is None else None
        try:
            held = None if allocation is None else _held(allocation, inventory, where)
            cost = tuple(
                one.asked(asked) if allocation is None else one.held(asked, allocation, where) for one in self._prices
            )
        except MalformedObjectError as error:
            self.faults[name] = error.faults
            return None
        if claim.metadata.deletion_timestamp is not None:
            problem = Fault(where, "", "it is being deleted")
        return Laid(
            name=name,
            row=ClaimRow("/".join(name), claim.metadata.uid, asked, held),
            cost=cost,
            problem=problem,
            queue=claim.metadata.labels.get(QUEUE_LABEL),
            reserved=tuple(one.uid for one in claim.status.reserved_for if not is_pod_group(one)),
            pod_groups=tuple(one.uid for one in claim.status.reserved_for if is_pod_group(one)),
        )


def _held(allocation: Allocation, inventory: Inventory, where: str) -> Held:
    """What a claim has been given, by whomever."""
    takes = taken_by(allocation, inventory, where=where)
    selector: NodeSelector | None = allocation.node_selector
    taken = of_node(allocation, inventory, where=where)
    return Held(takes, None if selector is None else terms_of(selector), of_node=taken)
