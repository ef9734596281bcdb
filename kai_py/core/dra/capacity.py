"""Consumable capacity (KEP-5075): how much of a device a request takes, and whether that is allowed."""

from __future__ import annotations

from collections.abc import Mapping

from kai_py.core.dra.devices import Capacity, Device, Policy, Range

#: (capacity as the device writes it, amount), sorted by name.
Taking = tuple[tuple[str, int], ...]


def consumed(requested: int | None, capacity: Capacity) -> int:
    """What is taken of a capacity when so much is requested; None = the request does not mention it."""
    policy = capacity.policy
    if requested is None:
        return capacity.value if policy is None or policy.default is None else policy.default
    if policy is None:
        return requested
    if policy.range is not None:
        return _on_step(requested, policy.range)
    return next((choice for choice in policy.choices if choice >= requested), requested)


def _on_step(requested: int, allowed: Range) -> int:
    if requested <= allowed.least:
        return allowed.least
    if not allowed.step:
        return requested
    steps = -(-(requested - allowed.least) // allowed.step)
    return allowed.least + steps * allowed.step


def violates(amount: int, policy: Policy | None) -> bool:
    """Whether a policy forbids to take an amount. Its default is always allowed."""
    if policy is None or amount == policy.default:
        return False
    if policy.range is not None:
        allowed = policy.range
        beyond = allowed.most is not None and amount > allowed.most
        return beyond or (bool(allowed.step) and (amount - allowed.least) % (allowed.step or 1) != 0)
    return bool(policy.choices) and amount not in policy.choices


def taking(requests: Mapping[str, int], device: Device) -> Taking | None:
    """What a request takes of all capacities of a device; None = the device cannot give that, even if it is idle.

    A request for a capacity that the device does not have cannot be met.
    """
    if not requests and not device.shareable:
        return ()
    own = {device.own_name(name, device.capacities): amount for name, amount in requests.items()}
    if any(name not in device.capacities for name in own):
        return None
    amounts = []
    for name, capacity in sorted(device.capacities.items()):
        amount = consumed(own.get(name), capacity)
        if amount > capacity.value or violates(amount, capacity.policy):
            return None
        amounts.append((name, amount))
    return tuple(amounts)
