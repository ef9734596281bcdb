"""What the allocator answers: per claim the devices, their configuration and the nodes that can use them.

The shape is that of ``status.allocation`` of a ResourceClaim; when it was made, and under which id a part of a device
is known, is added by whoever writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kai_py.core.dra.capacity import Taking
from kai_py.core.dra.claims import BEST_ALTERNATIVE, Alternative, Claim
from kai_py.core.dra.devices import Reach
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import Take
from kai_py.core.tables.classes import NodeTerm, Requirement, Toleration


class Source(StrEnum):
    """Where a configuration comes from."""

    CLASS = "FromClass"
    CLAIM = "FromClaim"


@dataclass(frozen=True, slots=True)
class AllocatedDevice:
    """A device for a request.

    Attributes:
        request: ``request`` or ``request/subrequest``.
        driver: of the device.
        pool: its pool.
        device: its name in the pool.
        row: its row in the inventory.
        admin: it is only looked at.
        tolerations: of the request.
        conditions: that must be true before a pod is bound.
        failures: conditions that make the allocation void.
        shared: it is a part of the device.
        consumed: amounts of the capacities that the part takes.
    """

    request: str
    driver: str
    pool: str
    device: str
    row: int
    admin: bool = False
    tolerations: tuple[Toleration, ...] = ()
    conditions: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    shared: bool = False
    consumed: Taking = ()


@dataclass(frozen=True, slots=True)
class AllocatedConfiguration:
    """Parameters that go with devices; ``requests`` empty = with all of the claim."""

    source: Source
    requests: tuple[str, ...]
    opaque: object


@dataclass(frozen=True, slots=True)
class ClaimAllocation:
    """What one claim gets.

    Attributes:
        devices: in the order of requests.
        config: of the classes, then of the claim.
        term: nodes that can use all of it; None = every node.
        score: 8 for each first alternative of a list, 7 for each second one, and so on.
    """

    devices: tuple[AllocatedDevice, ...] = ()
    config: tuple[AllocatedConfiguration, ...] = ()
    term: NodeTerm | None = None
    score: int = 0


@dataclass(frozen=True, slots=True)
class Allocation:
    """What all claims get together, in their order; ``steps`` is how many devices were tried."""

    claims: tuple[ClaimAllocation, ...]
    steps: int = 0

    @property
    def score(self) -> int:
        """How good the alternatives are that were chosen."""
        return sum(claim.score for claim in self.claims)

    def takes(self, inventory: Inventory) -> tuple[Take, ...]:
        """What a ledger must count as taken."""
        return tuple(
            Take(inventory.id_idx[device.row], device.shared, device.consumed)
            for claim in self.claims
            for device in claim.devices
            if not device.admin
        )


def allocated(inventory: Inventory, device: int, alternative: Alternative, amounts: Taking) -> AllocatedDevice:
    """A result for one device."""
    found = inventory.devices[device]
    return AllocatedDevice(
        request=alternative.name,
        driver=found.driver,
        pool=inventory.pool_name(device),
        device=found.name,
        row=device,
        admin=alternative.admin,
        tolerations=alternative.tolerations,
        conditions=found.conditions,
        failures=found.failures,
        shared=found.shareable,
        consumed=amounts,
    )


def allocation_of(
    claim: Claim, chosen: Sequence[int], devices: Iterable[AllocatedDevice], inventory: Inventory, node: int
) -> ClaimAllocation:
    """Complete the devices of a claim.

    Args:
        claim: whose they are.
        chosen: number of the alternative per request.
        devices: in the order of requests.
        inventory: of the devices.
        node: for which the devices were sought.
    """
    found = tuple(devices)
    score = sum(
        BEST_ALTERNATIVE - number for request, number in zip(claim.requests, chosen, strict=True) if request.listed
    )
    return ClaimAllocation(found, _configuration(claim, chosen), _term(found, inventory, node), score)


def _configuration(claim: Claim, chosen: Sequence[int]) -> tuple[AllocatedConfiguration, ...]:
    """First that of the classes, each class once; then that of the claim as far as it is about chosen alternatives."""
    picked = [request.alternatives[number] for request, number in zip(claim.requests, chosen, strict=True)]
    users: dict[str, list[Alternative]] = {}
    for alternative in picked:
        users.setdefault(alternative.device_class.name, []).append(alternative)
    found = [
        AllocatedConfiguration(Source.CLASS, tuple(one.name for one in using), config.opaque)
        for using in users.values()
        for config in using[0].device_class.config
    ]
    names = {request.name for request in claim.requests} | {alternative.name for alternative in picked}
    found.extend(
        AllocatedConfiguration(Source.CLAIM, config.requests, config.opaque)
        for config in claim.config
        if not config.requests or not names.isdisjoint(config.requests)
    )
    return tuple(found)


def _term(devices: Iterable[AllocatedDevice], inventory: Inventory, node: int) -> NodeTerm | None:
    """The nodes from which all devices can be used: this one, or those that all their terms match."""
    labels: dict[tuple[str, str, frozenset[str]], Requirement] = {}
    names: dict[tuple[str, str, frozenset[str]], Requirement] = {}
    for device in devices:
        reach: Reach = inventory.reach_of(device.row)
        if reach.node or inventory.devices[device.row].binds_to_node:
            return NodeTerm(names=(Requirement("metadata.name", "In", (inventory.nodes.names[node],)),))
        if reach.term is not None:
            for found, requirements in ((labels, reach.term.labels), (names, reach.term.names)):
                for one in requirements:
                    found.setdefault((one.key, one.operator, frozenset(one.values)), one)
    return NodeTerm(tuple(labels.values()), tuple(names.values())) if labels or names else None
