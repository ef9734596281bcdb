"""What the rules of the pod grouper may look at beside a pod and its owners, as the store knows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kai_py.api.keys import KUBEFLOW_JOB_LABEL, KUBEFLOW_ROLE_LABEL
from kai_py.api.meta import ObjectMeta, PartialObject
from kai_py.api.podgroup import PodGroup
from kai_py.api.topology import Topology
from kai_py.cluster.owners import OwnerBook
from kai_py.core.tables.pods import PodKey

_LAUNCHER = "launcher"


class Around:
    """Other objects, for rules; every question is remembered, so that its pod is read again when the answer changes.

    Args:
        owners: all objects that are followed.
        topologies: by name.

    Attributes:
        asked_for_topologies: whether any pod's podgroup depends on which topologies there are.
    """

    def __init__(self, owners: OwnerBook, topologies: Mapping[str, Topology]) -> None:
        self._owners = owners
        self._topologies = topologies
        self.asked_for_topologies = False
        self._launchers: dict[tuple[str, str], dict[PodKey, ObjectMeta]] = {}

    def find(self, group: str, kind: str, namespace: str, name: str) -> PartialObject | None:
        """An object, in any version."""
        return self._owners.find((group, kind, namespace, name))

    def serves(self, group: str, kind: str) -> bool:
        """Whether there may be objects of a kind."""
        return self._owners.has_kind((group, kind)) or self._owners.kinds.want((group, kind))

    def podgroup(self, namespace: str, name: str) -> PodGroup | None:
        """Nothing: pods that were grouped before an upgrade say so themselves, in an annotation."""

    def pods(self, namespace: str, labels: Mapping[str, str]) -> Iterable[ObjectMeta]:
        """The launchers of a training job; of other pods, labels are not kept."""
        if labels.get(KUBEFLOW_ROLE_LABEL) != _LAUNCHER:
            return ()
        return self._launchers.get((namespace, labels.get(KUBEFLOW_JOB_LABEL, "")), {}).values()

    def topology(self, node_label: str) -> str:
        """Name of the Topology that has a node label as a level; empty if there is none, or several."""
        self.asked_for_topologies = True
        found = [
            name
            for name, topology in self._topologies.items()
            if any(level.node_label == node_label for level in topology.spec.levels)
        ]
        return found[0] if len(found) == 1 else ""

    def put_pod(self, key: PodKey, meta: ObjectMeta) -> str:
        """Take in a pod; where that is news to its fellows, the uid of the owner below which they are."""
        job = meta.labels.get(KUBEFLOW_JOB_LABEL)
        if not job or meta.labels.get(KUBEFLOW_ROLE_LABEL) != _LAUNCHER:
            return ""
        known = self._launchers.setdefault((meta.namespace, job), {})
        before = known.get(key)
        known[key] = meta
        news = before is None or before.deletion_timestamp != meta.deletion_timestamp
        return meta.controller.uid if news and meta.controller is not None else ""

    def drop_pod(self, key: PodKey) -> str:
        """Forget a pod; where that is news to its fellows, the uid of their owner."""
        for name, known in self._launchers.items():
            if name[0] == key.namespace and (meta := known.pop(key, None)) is not None:
                if not known:
                    del self._launchers[name]
                return meta.controller.uid if meta.controller is not None else ""
        return ""
