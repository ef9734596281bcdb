"""Dynamic resource allocation (``resource.k8s.io/v1``): classes, claims, and slices of devices.

The structs say what was sent; whether it makes sense (an unknown allocation mode, a selector without an expression) is
for the allocator to judge, because the answer belongs to the pod that waits and not to the object.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from kai_py.api.meta import NO_QUANTITIES, NO_STRINGS, ObjectMeta, Quantity, Record
from kai_py.api.pod import Toleration
from kai_py.api.selectors import Condition, NodeSelector

#: Consumer entries that a claim can hold (``status.reservedFor``).
MAX_CONSUMERS: Final = 256

EXACT_COUNT: Final = "ExactCount"
ALL: Final = "All"


# selectors and configuration, shared by classes and claims ------------------------------------------
class CelSelector(Record, frozen=True):
    """A CEL expression over ``device``."""

    expression: str


class DeviceSelector(Record, frozen=True):
    """Which devices qualify. Only CEL is known."""

    cel: CelSelector | None = None


class OpaqueConfiguration(Record, frozen=True):
    """Parameters for a driver; nobody else may look inside."""

    driver: str
    parameters: Any = None


class DeviceConfiguration(Record, frozen=True):
    """Configuration of a class, or of a claim for some of its requests (``request`` or ``request/subrequest``)."""

    opaque: OpaqueConfiguration | None = None
    requests: tuple[str, ...] = ()


# DeviceClass ----------------------------------------------------------------------------------------
class DeviceClassSpec(Record, frozen=True):
    """What all devices of the class have in common."""

    selectors: tuple[DeviceSelector, ...] = ()
    config: tuple[DeviceConfiguration, ...] = ()
    extended_resource_name: str | None = None


class DeviceClass(Record, frozen=True):
    """A kind of device that claims can ask for."""

    metadata: ObjectMeta
    spec: DeviceClassSpec = DeviceClassSpec()


# ResourceClaim: the request --------------------------------------------------------------------------
class CapacityRequirements(Record, frozen=True):
    """How much of a device's capacities is wanted."""

    requests: Mapping[str, Quantity] = NO_QUANTITIES


class SubRequest(Record, frozen=True):
    """One alternative of a request; also the shape of a request without alternatives, where ``name`` is empty."""

    device_class_name: str = ""
    name: str = ""
    selectors: tuple[DeviceSelector, ...] = ()
    allocation_mode: str = EXACT_COUNT
    count: int | None = None
    tolerations: tuple[Toleration, ...] = ()
    capacity: CapacityRequirements | None = None


class ExactRequest(SubRequest, frozen=True):
    """A request without alternatives. Admin access looks at devices that others use."""

    admin_access: bool | None = None


class DeviceRequest(Record, frozen=True):
    """A request: ``exactly`` one thing, or the ``first_available`` of several."""

    name: str
    exactly: ExactRequest | None = None
    first_available: tuple[SubRequest, ...] = ()


class DeviceConstraint(Record, frozen=True):
    """What the devices of some requests (none named = of all) must have, or must not have, in common."""

    requests: tuple[str, ...] = ()
    match_attribute: str | None = None
    distinct_attribute: str | None = None


class DeviceClaim(Record, frozen=True):
    """Everything that a claim asks for."""

    requests: tuple[DeviceRequest, ...] = ()
    constraints: tuple[DeviceConstraint, ...] = ()
    config: tuple[DeviceConfiguration, ...] = ()


class ResourceClaimSpec(Record, frozen=True):
    """What is claimed."""

    devices: DeviceClaim = DeviceClaim()


# ResourceClaim: the answer ---------------------------------------------------------------------------
class AllocatedDevice(Record, frozen=True):
    """A device that was allocated for a request (``request`` or ``request/subrequest``)."""

    request: str
    driver: str
    pool: str
    device: str
    admin_access: bool | None = None
    tolerations: tuple[Toleration, ...] = ()
    binding_conditions: tuple[str, ...] = ()
    binding_failure_conditions: tuple[str, ...] = ()
    share_id: str | None = msgspec.field(default=None, name="shareID")
    consumed_capacity: Mapping[str, Quantity] = NO_QUANTITIES


class AllocatedConfiguration(DeviceConfiguration, frozen=True):
    """Configuration that goes with an allocation. ``source``: FromClass or FromClaim."""

    source: str = ""


class DeviceAllocation(Record, frozen=True):
    """The devices of an allocation and their configuration."""

    results: tuple[AllocatedDevice, ...] = ()
    config: tuple[AllocatedConfiguration, ...] = ()


class Allocation(Record, frozen=True):
    """``AllocationResult``: the devices, and the nodes from which they can be used (absent = from all)."""

    devices: DeviceAllocation = DeviceAllocation()
    node_selector: NodeSelector | None = None
    allocation_timestamp: str | None = None


class Consumer(Record, frozen=True):
    """Who may use a claim: a pod, or a PodGroup of ``scheduling.k8s.io``."""

    resource: str
    name: str
    uid: str
    api_group: str = ""


class AllocatedDeviceStatus(Record, frozen=True):
    """What a driver says about an allocated device."""

    driver: str
    pool: str
    device: str
    share_id: str | None = msgspec.field(default=None, name="shareID")
    conditions: tuple[Condition, ...] = ()


class ResourceClaimStatus(Record, frozen=True):
    """What the claim has been given, and who uses it."""

    allocation: Allocation | None = None
    reserved_for: tuple[Consumer, ...] = ()
    devices: tuple[AllocatedDeviceStatus, ...] = ()


class ResourceClaim(Record, frozen=True):
    """A claim on devices."""

    metadata: ObjectMeta
    spec: ResourceClaimSpec = ResourceClaimSpec()
    status: ResourceClaimStatus = ResourceClaimStatus()


class TemplateMetadata(Record, frozen=True):
    """What claims of a template inherit."""

    labels: Mapping[str, str] = NO_STRINGS
    annotations: Mapping[str, str] = NO_STRINGS


class ClaimTemplate(Record, frozen=True):
    """The claim that a template makes."""

    metadata: TemplateMetadata = TemplateMetadata()
    spec: ResourceClaimSpec = ResourceClaimSpec()


class ResourceClaimTemplate(Record, frozen=True):
    """A template of which each pod gets a claim of its own."""

    metadata: ObjectMeta
    spec: ClaimTemplate = ClaimTemplate()


# ResourceSlice ---------------------------------------------------------------------------------------
class Attribute(Record, frozen=True):
    """One value: exactly one of these is set."""

    int_value: int | None = msgspec.field(default=None, name="int")
    bool_value: bool | None = msgspec.field(default=None, name="bool")
    string: str | None = None
    version: str | None = None
    ints: tuple[int, ...] = ()
    bools: tuple[bool, ...] = ()
    strings: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


class CapacityRange(Record, frozen=True):
    """Amounts from ``min`` to ``max``, in whole steps from ``min``."""

    min: Quantity
    max: Quantity | None = None
    step: Quantity | None = None


class RequestPolicy(Record, frozen=True):
    """How a request for a capacity of a shared device is rounded."""

    default: Quantity | None = None
    valid_values: tuple[Quantity, ...] = ()
    valid_range: CapacityRange | None = None


class Capacity(Record, frozen=True):
    """How much of something a device has."""

    value: Quantity
    request_policy: RequestPolicy | None = None


class Counter(Record, frozen=True):
    """How much of a shared counter there is, or is consumed."""

    value: Quantity


NO_COUNTERS: Final[Mapping[str, Counter]] = MappingProxyType({})
NO_ATTRIBUTES: Final[Mapping[str, Attribute]] = MappingProxyType({})
NO_CAPACITIES: Final[Mapping[str, Capacity]] = MappingProxyType({})


class CounterSet(Record, frozen=True):
    """Counters that devices of the pool share; the name is unique in the pool."""

    name: str
    counters: Mapping[str, Counter] = NO_COUNTERS


class CounterConsumption(Record, frozen=True):
    """What a device takes from a counter set when it is allocated."""

    counter_set: str
    counters: Mapping[str, Counter] = NO_COUNTERS


class DeviceTaint(Record, frozen=True):
    """Keeps claims away that do not tolerate it. ``effect``: None, NoSchedule or NoExecute."""

    key: str
    effect: str = ""
    value: str = ""
    time_added: str | None = None


class NodeResourceMapping(Record, frozen=True):
    """How allocating the device uses up a resource of its node: so much of a capacity, or so many times."""

    capacity_key: str | None = None
    allocation_multiplier: Quantity | None = None


NO_MAPPINGS: Final[Mapping[str, NodeResourceMapping]] = MappingProxyType({})


class Device(Record, frozen=True):
    """A device. Which nodes see it is said here only if the slice says ``perDeviceNodeSelection``."""

    name: str
    attributes: Mapping[str, Attribute] = NO_ATTRIBUTES
    capacity: Mapping[str, Capacity] = NO_CAPACITIES
    consumes_counters: tuple[CounterConsumption, ...] = ()
    node_name: str | None = None
    node_selector: NodeSelector | None = None
    all_nodes: bool | None = None
    taints: tuple[DeviceTaint, ...] = ()
    binds_to_node: bool | None = None
    binding_conditions: tuple[str, ...] = ()
    binding_failure_conditions: tuple[str, ...] = ()
    allow_multiple_allocations: bool | None = None
    node_allocatable_resource_mappings: Mapping[str, NodeResourceMapping] = NO_MAPPINGS


class ResourcePool(Record, frozen=True):
    """The pool of a slice. Only slices of its newest generation count, and only when all of them are there."""

    name: str
    generation: int = 0
    resource_slice_count: int = 1


class ResourceSliceSpec(Record, frozen=True):
    """A part of a pool: devices, or counters that they share, and the nodes that see them."""

    driver: str
    pool: ResourcePool
    node_name: str | None = None
    node_selector: NodeSelector | None = None
    all_nodes: bool | None = None
    per_device_node_selection: bool | None = None
    devices: tuple[Device, ...] = ()
    shared_counters: tuple[CounterSet, ...] = ()


class ResourceSlice(Record, frozen=True):
    """What a driver offers."""

    metadata: ObjectMeta
    spec: ResourceSliceSpec
