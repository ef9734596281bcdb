"""Segments: the workers of a gang cut into parts of equal size, each of which stays close together."""

from __future__ import annotations

from kai_py.api import keys
from kai_py.api.podgroup import TopologyConstraint
from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.kinds.base import pod_field
from kai_py.podgrouper.kinds.subgroups import constraint, first
from kai_py.podgrouper.lineage import Ancestor, Lineage


def segment_constraint(lineage: Lineage, owner: Ancestor, template: Field) -> TopologyConstraint | None:
    """Where a segment's pods may be: by the annotations of the pod, or of the workers' template.

    Args:
        lineage: the pod and its owners.
        owner: may name the topology, too.
        template: annotations of the workers' template.
    """

    def said(key: str, *further: Field) -> Field:
        return first([pod_field(lineage, "annotations", key), template.at(key), *further])

    name = keys.TOPOLOGY_ANNOTATION
    of_owner = Field(lineage.where(owner), f"metadata.annotations[{name}]", owner.annotations.get(name))
    return constraint(
        said(name, of_owner), said(keys.SEGMENT_REQUIRED_ANNOTATION), said(keys.SEGMENT_PREFERRED_ANNOTATION)
    )
