"""Volumes that a pod has already: its node must reach them (Kubernetes: VolumeBinding and VolumeZone)."""

from typing import Final

import numpy as np

from kai_py.core.resources import Mask
from kai_py.core.tables.classes import PodClass, Requirement
from kai_py.core.tables.labels import ABSENT, Labels
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.requirements import matches_labels, matches_term

#: The labels of zones and regions, and those that had their meaning before.
TODAY: Final = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
ZONE_LABELS: Final = (*TODAY.values(), *TODAY)


def volume_affinity(pod: PodClass, nodes: NodeTable) -> Mask:
    """``(N,)`` the node affinity of every volume; where one has terms, one of them must match."""
    matches = np.ones(len(nodes), dtype=np.bool_)
    for terms in pod.reach.affinity if pod.reach is not None else ():
        anywhere = np.zeros(len(nodes), dtype=np.bool_)
        for term in terms:
            anywhere |= matches_term(term, nodes)
        matches &= anywhere
    return matches


def volume_zone(pod: PodClass, nodes: NodeTable) -> Mask:
    """``(N,)`` zone and region of every volume. A node without any such label is let pass."""
    matches = np.ones(len(nodes), dtype=np.bool_)
    if pod.reach is None or not pod.reach.zones:
        return matches
    for key, values in pod.reach.zones:
        lacks = ~_has(key, nodes.labels)
        here = matches_labels(Requirement(key, "In", values), nodes.labels)
        if (today := TODAY.get(key)) is not None:
            here |= lacks & matches_labels(Requirement(today, "In", values), nodes.labels)
        matches &= here
    labelled = np.zeros(len(nodes), dtype=np.bool_)
    for key in ZONE_LABELS:
        labelled |= _has(key, nodes.labels)
    return matches | ~labelled


def _has(key: str, labels: Labels) -> Mask:
    return np.asarray(labels.column(key).codes != ABSENT)
