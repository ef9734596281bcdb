"""NodeResourceTopology objects, and annotations about the zones of pods, to what a cycle reads of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

import msgspec

from kai_py.api.keys import NUMA_OBSERVED_ANNOTATION, NUMA_PREDICTED_ANNOTATION
from kai_py.api.meta import Quantity
from kai_py.api.numa import NodeResourceTopology, ZonePlacement, ZoneResource
from kai_py.api.pod import Pod
from kai_py.api.quantity import format_quantity, to_units
from kai_py.cluster.encode.axis import most, per_unit
from kai_py.core.tables.zones import MAX_ZONES, Need, Policy
from kai_py.errors import Fault, MalformedObjectError

#: What a pod takes of zones, by their names.
Seating = tuple[tuple[str, Need], ...]

_POLICIES: Final = {
    "none": Policy.NONE,
    "best-effort": Policy.BEST_EFFORT,
    "restricted": Policy.RESTRICTED,
    "single-numa-node": Policy.SINGLE,
}
#: What exporters wrote in ``topologyPolicies``: a policy, and whether pods are aligned as a whole.
_OLD_POLICIES: Final = {
    "SingleNUMANodePodLevel": (Policy.SINGLE, True),
    "SingleNUMANodeContainerLevel": (Policy.SINGLE, False),
    "Restricted": (Policy.RESTRICTED, False),
    "RestrictedContainerLevel": (Policy.RESTRICTED, False),
    "RestrictedPodLevel": (Policy.RESTRICTED, True),
    "BestEffort": (Policy.BEST_EFFORT, False),
    "BestEffortContainerLevel": (Policy.BEST_EFFORT, False),
    "BestEffortPodLevel": (Policy.BEST_EFFORT, True),
}
#: Where it is written which zones a pod takes; what was observed on its node wins.
NUMA_ANNOTATIONS: Final = (NUMA_OBSERVED_ANNOTATION, NUMA_PREDICTED_ANNOTATION)
_NUMBER: Final = re.compile(r"[0-9]{1,9}$")
_PLACEMENTS: Final = msgspec.json.Decoder(tuple[ZonePlacement, ...])


class Zone(NamedTuple):
    """One NUMA node: base units by resource."""

    name: str
    allocatable: dict[str, int]
    available: dict[str, int]


@dataclass(frozen=True)
class ZoneFacts:
    """What a cycle reads of a NodeResourceTopology."""

    policy: Policy
    by_pod: bool
    zones: tuple[Zone, ...]

    @classmethod
    def of(cls, topology: NodeResourceTopology) -> ZoneFacts:
        """Read an object. A policy that nobody knows aligns nothing, as none does.

        Raises:
            MalformedObjectError: a quantity cannot be read, or there are too many zones; names the field.
        """
        attributes = {attribute.name: attribute.value for attribute in topology.attributes}
        if policy := attributes.get("topologyManagerPolicy"):
            kind, by_pod = _POLICIES.get(policy, Policy.NONE), attributes.get("topologyManagerScope") == "pod"
        else:
            old = topology.topology_policies[0] if topology.topology_policies else ""
            kind, by_pod = _OLD_POLICIES.get(old, (Policy.NONE, False))
        zones = [
            Zone(zone.name, _amounts(topology, row, "allocatable"), _amounts(topology, row, "available"))
            for row, zone in enumerate(topology.zones)
            if zone.type == "Node"
        ]
        if len(zones) > MAX_ZONES:
            raise _malformed(topology, "zones", f"should be at most {MAX_ZONES} NUMA nodes, not {len(zones)}")
        return cls(kind, by_pod, tuple(sorted(zones, key=_order)))


def _order(zone: Zone) -> tuple[bool, int, str]:
    """By the number at the end of its name, which is the kernel's: kubelets prefer lower ones."""
    number = _NUMBER.search(zone.name)
    return number is None, int(number[0]) if number else 0, zone.name


def _amounts(topology: NodeResourceTopology, row: int, which: str) -> dict[str, int]:
    amounts = {}
    for column, resource in enumerate(topology.zones[row].resources):
        quantity = _quantity(resource, which)
        try:
            units = to_units(quantity, per_unit=per_unit(resource.name))
        except ValueError as error:
            raise _malformed(topology, f"zones[{row}].resources[{column}].{which}", str(error)) from error
        amounts[resource.name] = max(0, min(units, most(resource.name)))
    return amounts


def _quantity(resource: ZoneResource, which: str) -> Quantity:
    return resource.available if which == "available" else resource.allocatable


def _malformed(topology: NodeResourceTopology, field: str, message: str) -> MalformedObjectError:
    return MalformedObjectError([Fault(f"NodeResourceTopology {topology.metadata.name}", field, message)])


def seating_of(pod: Pod) -> Seating:
    """What is written down of the zones that a pod takes: as observed on its node, else as it was predicted.

    An annotation that cannot be read says nothing.
    """
    annotations = pod.metadata.annotations
    for annotation in NUMA_ANNOTATIONS:
        if text := annotations.get(annotation):
            try:
                placements = _PLACEMENTS.decode(text)
                found = tuple((one.zone, _read(one.amount)) for one in placements)
            except (msgspec.DecodeError, ValueError):
                continue
            if found:
                return found
    return ()


def _read(amounts: Mapping[str, Quantity]) -> Need:
    return tuple(sorted((name, to_units(quantity, per_unit=per_unit(name))) for name, quantity in amounts.items()))


def predicted(seating: Seating) -> dict[str, str]:
    """The annotation that writes down which zones a pod is expected to take; none where that is not known."""
    if not seating:
        return {}
    placements = [
        {"zone": zone, "amount": {name: format_quantity(Fraction(units, per_unit(name))) for name, units in need}}
        for zone, need in seating
    ]
    return {NUMA_PREDICTED_ANNOTATION: msgspec.json.encode(placements).decode()}
