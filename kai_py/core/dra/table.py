"""Claims as a table of the snapshot: what each asks for, what it has already, and which pods need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kai_py.core.dra.allocation import ClaimAllocation
from kai_py.core.dra.claims import Claim
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import Take
from kai_py.core.dra.node_shares import OfNode
from kai_py.core.dra.refused import RefusalMemory
from kai_py.core.dra.selectors import SelectorMemo
from kai_py.core.resources import Mask
from kai_py.core.tables.classes import NodeTerm

#: So many consumers can share a claim (``status.reservedFor``).
MAX_CONSUMERS: Final = 256


@dataclass(frozen=True)
class Held:
    """The devices of a claim.

    Attributes:
        takes: what a device ledger must count.
        terms: nodes that can use them, ORed; None = every node.
        allocation: what has to be written, if it was decided in this cycle; None if it was found.
        of_node: what they take of the node on which they are used; (resource, billionths of its unit).
    """

    takes: tuple[Take, ...] = ()
    terms: tuple[NodeTerm, ...] | None = None
    allocation: ClaimAllocation | None = None
    of_node: OfNode = ()


class NodeTake(NamedTuple):
    """What a claim takes of the node of a pod that uses it.

    Attributes:
        claim: its row.
        amounts: (column in R, base units), by column; no zeros. Nothing where the pod as a whole asks for enough.
    """

    claim: int
    amounts: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class NodeTerms:
    """How claims of a pod class may take of nodes.

    Attributes:
        included: (column in R, base units) of what claims take that is in the request of the class already.
        within: (column in R, base units) where the pod as a whole asks for an amount, from which its devices must take
            what they take of the node: what its containers leave of it.
        unused: places, in the order of the class' claims, of those that no container uses.
    """

    included: tuple[tuple[int, int], ...] = ()
    within: tuple[tuple[int, int], ...] = ()
    unused: frozenset[int] = frozenset()


NO_TERMS: Final = NodeTerms()


@dataclass(frozen=True, eq=False)
class Extended:
    """A claim that is made for a pod's extended resources, where they are devices (KEP-5004).

    Nodes that offer a resource themselves, by a device plugin, need no devices for it.

    Attributes:
        variants: (``(N,)`` nodes, what they have to give); nodes that are in none have nothing to give.
    """

    variants: tuple[tuple[Mask, Claim], ...]

    def at(self, node: int) -> Claim | None:
        """What one node has to give."""
        return next((claim for mask, claim in self.variants if mask.item(node)), None)


@dataclass(frozen=True)
class ClaimRow:
    """A claim.

    Attributes:
        key: ``namespace/name``.
        uid: its own.
        asked: what it asks for.
        held: what it has been given; None = nothing yet.
        others: consumers that it is reserved for and that are no pods of the snapshot.
        leaving: such consumers that have ended: they count as long as they are not taken off, and will be.
        spared: so many fewer consumers than pods there are, because pods use it through their PodGroup.
        extended: it serves a pod's extended resources, if its node needs it at all; without ``uid``, it does not exist.
    """

    key: str
    uid: str
    asked: Claim
    held: Held | None = None
    others: int = 0
    leaving: int = 0
    extended: Extended | None = None
    spared: int = 0

    def full(self, users: int) -> bool:
        """Whether it may not serve another pod when so many use it."""
        return users + self.others - self.spared >= MAX_CONSUMERS


#: One claim of a pod class: a row in the table where all pods of the class mean the very same claim, else what each of
#: them asks for in a claim of its own, which may depend on the node.
Ask = int | Claim | Extended


@dataclass(frozen=True)
class Parts:
    """Devices of which parts are charged.

    Attributes:
        sets: per counter set the counters, by row, over which the part is the mean.
        shared: (row of a device's name, capacities over which a share is the mean); without any, each share counts as
            one device, and there is no end of them.
    """

    sets: tuple[tuple[int, ...], ...] = ()
    shared: tuple[tuple[int, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Counted:
    """Devices that queues are charged for.

    Attributes:
        column: in A.
        unit: base units of one device.
        devices: rows of their names in the inventory, as far as some node that is ready may have them; of those that
            ``parts`` is about, none.
        capacity: how many of them queues share; those that are cut from one device count as one.
        parts: devices of which parts are charged.
        homes: rows of nodes that have such devices to themselves.
    """

    column: int
    unit: int
    devices: frozenset[int]
    capacity: int
    parts: Parts = Parts()
    homes: tuple[int, ...] = ()


@dataclass(frozen=True)
class ClaimTable:
    """What a snapshot knows of claims and devices.

    Attributes:
        inventory: the devices.
        claims: ``(L,)`` sorted by key; all that have devices, and all that pods wait for. Those that are yet to be made
            come last, by pod.
        of_pod: row of a pod -> rows of the claims that it uses, in its order, each once.
        of_class: row of a pod class -> the same, as far as pods of a class have it in common.
        counted: devices that queues are charged for, by column.
        memo: what selectors said in earlier snapshots.
        node_takes: row of a pod on a node -> what its claims take of that node.
        terms: row of a pod class -> how its claims may take of nodes, where there is anything to say.
        refusals: where claims found nothing in earlier snapshots.
    """

    inventory: Inventory
    claims: tuple[ClaimRow, ...]
    of_pod: Mapping[int, tuple[int, ...]]
    of_class: Mapping[int, tuple[Ask, ...]]
    counted: tuple[Counted, ...] = ()
    memo: SelectorMemo = field(default_factory=SelectorMemo, compare=False, repr=False)
    node_takes: Mapping[int, tuple[NodeTake, ...]] = field(default_factory=dict)
    terms: Mapping[int, NodeTerms] = field(default_factory=dict)
    refusals: RefusalMemory = field(default_factory=RefusalMemory, compare=False, repr=False)

    @property
    def takes_of_nodes(self) -> bool:
        """Whether any claim takes something of a node, or may."""
        return bool(self.inventory.of_nodes or self.node_takes)

    def check(self, pods: int, classes: int) -> None:
        """Check all references.

        Raises:
            ValueError: a row points beyond its table, or a pod's claims are not those of its class.
        """
        rows = [row for found in self.of_pod.values() for row in found]
        rows += [ask for asks in self.of_class.values() for ask in asks if isinstance(ask, int)]
        if not all(0 <= row < len(self.claims) for row in rows):
            raise ValueError(f"claims.of_pod or claims.of_class points beyond the {len(self.claims)} claims")
        if not all(0 <= pod < pods for pod in self.of_pod):
            raise ValueError(f"claims.of_pod points beyond the {pods} pods")
        if not all(0 <= row < classes for row in self.of_class):
            raise ValueError(f"claims.of_class points beyond the {classes} classes")
