"""Allocations between the core and ``status.allocation`` of a ResourceClaim, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID, uuid5

from kai_py.api.meta import NO_QUANTITIES
from kai_py.api.pod import Toleration
from kai_py.api.resource import AllocatedConfiguration, Allocation, DeviceAllocation, OpaqueConfiguration
from kai_py.api.resource import AllocatedDevice as ApiDevice
from kai_py.api.selectors import NodeSelector, NodeSelectorTerm, Requirement
from kai_py.cluster.devices.amounts import amounts, quantity
from kai_py.core.dra.allocation import AllocatedDevice, ClaimAllocation
from kai_py.core.dra.devices import DeviceId
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import Take
from kai_py.core.dra.node_shares import NOTHING, OfNode, of_device, summed
from kai_py.core.tables.classes import NodeTerm
from kai_py.core.tables.classes import Requirement as CoreRequirement

#: Makes our share ids different from all that others derive from the same names.
_SHARES: Final = UUID("5e9a4c0e-4c6b-5d53-9a39-1f6a0f1f7d2b")


def written(allocation: ClaimAllocation, *, uid: str, timestamp: str | None = None) -> Allocation:
    """An allocation as it is written to a claim.

    Args:
        allocation: what the core decided.
        uid: of the claim; ids of shared parts are derived from it, so that a repeated write says the same.
        timestamp: RFC 3339. kube-scheduler edits allocations without one, and is refused for ever.
    """
    config = tuple(
        AllocatedConfiguration(
            opaque=one.opaque if isinstance(one.opaque, OpaqueConfiguration) else None,
            requests=one.requests,
            source=one.source.value,
        )
        for one in allocation.config
    )
    results = tuple(_result(device, uid) for device in allocation.devices)
    selector = None if allocation.term is None else NodeSelector((_term(allocation.term),))
    return Allocation(DeviceAllocation(results, config), selector, timestamp)


def taken_by(allocation: Allocation, inventory: Inventory, *, where: str) -> tuple[Take, ...]:
    """What an allocation takes, whoever made it. Admin access takes nothing, nor does a device that is gone.

    Args:
        allocation: of a claim.
        inventory: the devices there are.
        where: how messages name the claim.

    Raises:
        MalformedObjectError: a consumed capacity is not a quantity.
    """
    return tuple(_taken(allocation.devices.results, inventory, where))


def _taken(results: Iterable[ApiDevice], inventory: Inventory, where: str) -> Iterable[Take]:
    for row, result in enumerate(results):
        identity = inventory.row_of_id.get(DeviceId(result.driver, result.pool, result.device))
        if identity is None or result.admin_access:
            continue
        field = f"status.allocation.devices.results[{row}].consumedCapacity"
        if result.share_id is None:
            yield Take(identity)
        else:
            yield Take(identity, True, tuple(sorted(amounts(result.consumed_capacity, where, field).items())))


def of_node(allocation: Allocation, inventory: Inventory, *, where: str) -> OfNode:
    """What the devices of an allocation take of the node on which they are used, whoever made it.

    Raises:
        MalformedObjectError: a consumed capacity is not a quantity.
    """
    if not inventory.of_nodes:
        return NOTHING
    parts: list[OfNode] = []
    for row, result in enumerate(allocation.devices.results):
        identity = inventory.row_of_id.get(DeviceId(result.driver, result.pool, result.device))
        if identity is None or result.admin_access:
            continue
        field = f"status.allocation.devices.results[{row}].consumedCapacity"
        consumed = tuple(sorted(amounts(result.consumed_capacity, where, field).items()))
        # Of several generations of a device the newest one says what it is.
        parts.append(of_device(inventory.devices[inventory.devices_of_id[identity][-1]], consumed))
    return summed(parts)


def _result(device: AllocatedDevice, uid: str) -> ApiDevice:
    name = f"{uid}/{device.request}/{device.driver}/{device.pool}/{device.device}"
    return ApiDevice(
        request=device.request,
        driver=device.driver,
        pool=device.pool,
        device=device.device,
        admin_access=device.admin or None,
        tolerations=tuple(Toleration(t.key, t.operator, t.value, t.effect) for t in device.tolerations),
        binding_conditions=device.conditions,
        binding_failure_conditions=device.failures,
        share_id=str(uuid5(_SHARES, name)) if device.shared else None,
        consumed_capacity={name: quantity(units) for name, units in device.consumed} or NO_QUANTITIES,
    )


def _term(term: NodeTerm) -> NodeSelectorTerm:
    return NodeSelectorTerm(tuple(map(_requirement, term.labels)), tuple(map(_requirement, term.names)))


def _requirement(one: CoreRequirement) -> Requirement:
    return Requirement(one.key, one.operator, one.values)
