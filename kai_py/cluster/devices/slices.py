"""ResourceSlices to the core's slices, with the taints of DeviceTaintRules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kai_py.api.dra_taint_rule import DeviceTaintRule
from kai_py.api.resource import Attribute as ApiAttribute
from kai_py.api.resource import Capacity as ApiCapacity
from kai_py.api.resource import Counter, RequestPolicy, ResourceSlice
from kai_py.api.resource import Device as ApiDevice
from kai_py.cluster.devices.amounts import amount
from kai_py.cluster.devices.reach import reach_of
from kai_py.core.dra.devices import (
    UNIT,
    Attribute,
    Capacity,
    Consumption,
    CounterSet,
    Device,
    NodeShare,
    Policy,
    Range,
    Slice,
)
from kai_py.core.tables.nodes import Taint
from kai_py.errors import Fault, MalformedObjectError

#: The API server lets nothing more pass; what does is not believed either.
MAX_DEVICES: Final = 128


def read_slice(found: ResourceSlice, rules: Sequence[DeviceTaintRule] = ()) -> Slice:
    """Read a slice.

    Args:
        found: as sent.
        rules: taints to add to devices, all rules there are.

    Raises:
        MalformedObjectError: names the field. Leaving the slice out makes its pool incomplete, so that nobody counts on
            the rest of it.
    """
    spec, where = found.spec, f"ResourceSlice {found.metadata.name}"
    if len(spec.devices) > MAX_DEVICES:
        message = f"there may be {MAX_DEVICES} devices, not {len(spec.devices)}"
        raise MalformedObjectError([Fault(where, "spec.devices", message)])
    reach = reach_of(spec.node_name, spec.node_selector, all_nodes=spec.all_nodes, where=where, field="spec.")
    if reach is None and not spec.per_device_node_selection:
        message = "one of nodeName, nodeSelector, allNodes and perDeviceNodeSelection must be set"
        raise MalformedObjectError([Fault(where, "spec", message)])
    return Slice(
        name=found.metadata.name,
        driver=spec.driver,
        pool=spec.pool.name,
        generation=spec.pool.generation,
        count=spec.pool.resource_slice_count,
        reach=reach,
        devices=tuple(
            _device(
                device,
                spec.driver,
                _ruled(spec.driver, spec.pool.name, device.name, rules),
                where,
                f"spec.devices[{i}]",
            )
            for i, device in enumerate(spec.devices)
        ),
        counter_sets=tuple(
            CounterSet(one.name, _counters(one.counters, where, f"spec.sharedCounters[{i}].counters"))
            for i, one in enumerate(spec.shared_counters)
        ),
    )


def _ruled(driver: str, pool: str, device: str, rules: Sequence[DeviceTaintRule]) -> tuple[Taint, ...]:
    """Taints of the rules that a device matches; a rule that selects nothing in particular selects everything."""
    taints = []
    for rule in rules:
        chosen = rule.spec.device_selector
        wanted = () if chosen is None else ((chosen.driver, driver), (chosen.pool, pool), (chosen.device, device))
        if all(value is None or value == own for value, own in wanted):
            taint = rule.spec.taint
            taints.append(Taint(taint.key, taint.value, taint.effect))
    return tuple(taints)


def _device(device: ApiDevice, driver: str, ruled: tuple[Taint, ...], where: str, field: str) -> Device:
    reach = reach_of(device.node_name, device.node_selector, all_nodes=device.all_nodes, where=where, field=f"{field}.")
    return Device(
        name=device.name,
        driver=driver,
        attributes={name: _attribute(value) for name, value in device.attributes.items()},
        capacities={
            name: _capacity(value, where, f"{field}.capacity[{name}]") for name, value in device.capacity.items()
        },
        consumes=tuple(
            Consumption(one.counter_set, _counters(one.counters, where, f"{field}.consumesCounters[{i}].counters"))
            for i, one in enumerate(device.consumes_counters)
        ),
        reach=reach,
        taints=(*(Taint(taint.key, taint.value, taint.effect) for taint in device.taints), *ruled),
        binds_to_node=bool(device.binds_to_node),
        conditions=device.binding_conditions,
        failures=device.binding_failure_conditions,
        shareable=bool(device.allow_multiple_allocations),
        node_shares=tuple(
            NodeShare(
                name,
                one.capacity_key or "",
                UNIT
                if one.allocation_multiplier is None
                else amount(one.allocation_multiplier, where, f"{field}.nodeAllocatableResourceMappings[{name}]"),
            )
            for name, one in sorted(device.node_allocatable_resource_mappings.items())
        ),
    )


def _attribute(value: ApiAttribute) -> Attribute:
    """The one value that is set; nothing that we know if none is, or several are."""
    found: list[Attribute] = []
    if value.int_value is not None:
        found.append(Attribute("int", (value.int_value,)))
    if value.bool_value is not None:
        found.append(Attribute("bool", (value.bool_value,)))
    if value.string is not None:
        found.append(Attribute("string", (value.string,)))
    if value.version is not None:
        found.append(Attribute("version", (value.version,)))
    lists = (("int", value.ints), ("bool", value.bools), ("string", value.strings), ("version", value.versions))
    found.extend(Attribute(kind, tuple(members), many=True) for kind, members in lists if members)
    return found[0] if len(found) == 1 else Attribute()


def _capacity(capacity: ApiCapacity, where: str, field: str) -> Capacity:
    value = amount(capacity.value, where, f"{field}.value")
    policy = capacity.request_policy
    return Capacity(value, None if policy is None else read_policy(policy, where, f"{field}.requestPolicy"))


def read_policy(policy: RequestPolicy, where: str, field: str) -> Policy:
    """How a capacity is given out."""
    allowed = policy.valid_range
    return Policy(
        default=None if policy.default is None else amount(policy.default, where, f"{field}.default"),
        choices=tuple(sorted(amount(value, where, f"{field}.validValues") for value in policy.valid_values)),
        range=None
        if allowed is None
        else Range(
            amount(allowed.min, where, f"{field}.validRange.min"),
            None if allowed.max is None else amount(allowed.max, where, f"{field}.validRange.max"),
            None if allowed.step is None else amount(allowed.step, where, f"{field}.validRange.step"),
        ),
    )


def _counters(counters: Mapping[str, Counter], where: str, field: str) -> tuple[tuple[str, int], ...]:
    return tuple((name, amount(one.value, where, f"{field}[{name}]")) for name, one in sorted(counters.items()))
