"""Rollouts: which pods of a Deployment stand in for others that still run.

A rolling update starts new pods before it ends old ones. Where pods cannot be preempted and their queue's quota is
full, the new ones would wait for the old ones to end, which wait for the new ones to start. So a new pod is lent a
place over quota for as long as an old one that it replaces runs: it counts as preemptible, and what is lent can be
taken back.
"""

from __future__ import annotations

from typing import NamedTuple

from kai_py.api.keys import (
    KNATIVE_CONFIGURATION_LABEL,
    KNATIVE_REVISION_LABEL,
    POD_TEMPLATE_HASH_LABEL,
    QUEUE_LABEL,
    ROLLOUT_HASH_LABEL,
)
from kai_py.api.pod import Pod
from kai_py.core.tables.pods import PodKey

#: Namespace and name of what is rolled out.
Workload = tuple[str, str]


class Replica(NamedTuple):
    """A pod of a workload that is rolled out.

    Attributes:
        revision: the hash of its template, or its Revision.
        queue: that its label names.
        created: RFC 3339 text.
        runs: has a node, and was not told to go.
    """

    revision: str
    queue: str
    created: str
    runs: bool


class RolloutBook:
    """All pods of ReplicaSets that have a template's hash in their name, as Deployments and Argo Rollouts give it.

    Pods of Knative's Revisions are those of their Configuration: each Revision has a Deployment of its own.

    Attributes:
        enabled: whether anything is lent.
    """

    def __init__(self) -> None:
        self.enabled = True
        self._workload_of: dict[PodKey, Workload] = {}
        self._replicas: dict[Workload, dict[PodKey, Replica]] = {}
        self._surging: dict[Workload, frozenset[PodKey]] = {}
        self._dirty: dict[Workload, None] = {}

    def see(self, key: PodKey, pod: Pod) -> None:
        """Take in a pod of ours."""
        workload = _workload(pod)
        if workload is None or workload != self._workload_of.get(key, workload):
            self.drop(key)
        if workload is None:
            return
        runs = bool(pod.spec.node_name) and pod.metadata.deletion_timestamp is None
        queue = pod.metadata.labels.get(QUEUE_LABEL, "")
        replica = Replica(_revision(pod), queue, pod.metadata.creation_timestamp or "", runs)
        replicas = self._replicas.setdefault(workload, {})
        if replicas.get(key) != replica:
            replicas[key] = replica
            self._workload_of[key] = workload
            self._dirty[workload] = None

    def drop(self, key: PodKey) -> None:
        """Forget a pod."""
        workload = self._workload_of.pop(key, None)
        if workload is None:
            return
        del self._replicas[workload][key]
        if not self._replicas[workload]:
            del self._replicas[workload]
        self._dirty[workload] = None

    def enable(self, *, wanted: bool) -> bool:
        """Lend from now on, or no more; tells whether that is new."""
        if self.enabled == wanted:
            return False
        self.enabled = wanted
        self._dirty = dict.fromkeys([*self._replicas, *self._surging])
        return True

    def changed(self) -> set[PodKey]:
        """Pods that began to stand in for another one, or ceased to; each is told once."""
        dirty, self._dirty = self._dirty, {}
        found: set[PodKey] = set()
        for workload in dirty:
            before = self._surging.pop(workload, frozenset())
            now = _surging(self._replicas.get(workload, {})) if self.enabled else frozenset()
            if now:
                self._surging[workload] = now
            found |= before ^ now
        return found

    def surges(self, key: PodKey) -> bool:
        """Whether a pod stands in for another one that still runs, as of :meth:`changed`."""
        workload = self._workload_of.get(key)
        return workload is not None and key in self._surging.get(workload, ())


def _surging(replicas: dict[PodKey, Replica]) -> frozenset[PodKey]:
    """The youngest pods of the youngest revision, as many as run of others."""
    # Of pods that were made in the same second, one that has no node is younger than one that has.
    youngest = sorted(replicas, key=lambda key: (replicas[key].created, not replicas[key].runs, key), reverse=True)
    if not youngest:
        return frozenset()
    target = replicas[youngest[0]]
    same = [key for key in youngest if replicas[key].revision == target.revision]
    # Who comes from another queue leaves no room in this one.
    old = sum(one.runs and one.revision != target.revision and one.queue == target.queue for one in replicas.values())
    return frozenset(same[:old])


def _workload(pod: Pod) -> Workload | None:
    """What a ReplicaSet is named after: its name is the workload's, a dash, and the hash of the template."""
    revision, owner = _revision(pod), pod.metadata.controller
    if not revision or owner is None or owner.kind != "ReplicaSet":
        return None
    if configuration := pod.metadata.labels.get(KNATIVE_CONFIGURATION_LABEL):
        return pod.metadata.namespace, f"{configuration}/"  # no ReplicaSet is named so
    if not owner.name.endswith(f"-{revision}"):
        return None
    return pod.metadata.namespace, owner.name.removesuffix(f"-{revision}")


def _revision(pod: Pod) -> str:
    """What its template is known by; empty if nobody has marked it so."""
    labels = pod.metadata.labels
    if KNATIVE_CONFIGURATION_LABEL in labels:
        return labels.get(KNATIVE_REVISION_LABEL, "")
    return labels.get(POD_TEMPLATE_HASH_LABEL) or labels.get(ROLLOUT_HASH_LABEL, "")
