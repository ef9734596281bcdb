"""NodeResourceTopology: what a node's exporter says about its NUMA nodes, and how its kubelet uses them."""

from __future__ import annotations

from collections.abc import Mapping

from kai_py.api.meta import NO_QUANTITIES, ObjectMeta, Quantity, Record


class ZoneResource(Record, frozen=True):
    """A resource of a zone; ``available`` is what no container has been given."""

    name: str
    capacity: Quantity = "0"
    allocatable: Quantity = "0"
    available: Quantity = "0"


class NumaZone(Record, frozen=True):
    """A part of a machine. Only zones of type ``Node`` are NUMA nodes, which is what kubelets align by."""

    name: str
    type: str = ""
    resources: tuple[ZoneResource, ...] = ()


class Attribute(Record, frozen=True):
    """A fact about the node, such as ``topologyManagerPolicy``."""

    name: str
    value: str = ""


class NodeResourceTopology(Record, frozen=True):
    """The zones of the node of the same name. ``topology_policies`` is what exporters wrote before ``attributes``."""

    metadata: ObjectMeta
    topology_policies: tuple[str, ...] = ()
    zones: tuple[NumaZone, ...] = ()
    attributes: tuple[Attribute, ...] = ()


class ZonePlacement(Record, frozen=True):
    """What a pod takes of one zone, as the annotations about placements have it."""

    zone: str
    amount: Mapping[str, Quantity] = NO_QUANTITIES
