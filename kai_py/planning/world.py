"""A cluster that carries decisions out at once: what the next cycle of a plan finds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec.structs import replace

from kai_py.api.pod import Pod
from kai_py.cluster.encode.times import seconds
from kai_py.cluster.pods import FINISHED, STUCK_AFTER, key_of
from kai_py.cluster.store import Store
from kai_py.core.result import Bind, Decision, Evict


class World:
    """Pods and the store that knows them, moved on cycle by cycle.

    Args:
        store: has everything but the pods already.
        pods: as in the input.
        now: seconds since the epoch.
    """

    def __init__(self, store: Store, pods: Iterable[Pod], now: float) -> None:
        self.store = store
        self.pods = {(pod.metadata.namespace, pod.metadata.name): _settled(pod) for pod in pods}
        for pod in self.pods.values():
            store.put_pod(pod, now)

    def settle(self, decisions: Iterable[Decision], now: float) -> None:
        """Let the cluster do what was decided, up to the beginning of the next cycle.

        Bound pods run. Whoever is terminating goes, unless it has been stuck in that for too long; with a controller
        it is pending again under its name, uid and age, so that no order depends on when somebody was evicted.
        """
        for decision in decisions:
            namespace, _, name = decision.pod.partition("/")
            pod = self.pods[namespace, name]
            if isinstance(decision, Bind):
                self._put(_running(pod, decision.node), now)
            elif isinstance(decision, Evict):
                self._put(_terminating(pod, now), now)
        for pod in list(self.pods.values()):
            deleted = pod.metadata.deletion_timestamp
            if deleted is None or now - seconds(deleted) > STUCK_AFTER:
                continue
            if pod.metadata.controller is not None:
                self._put(_recreated(pod), now)
            else:
                del self.pods[pod.metadata.namespace, pod.metadata.name]
                self.store.drop_pod(key_of(pod))

    def _put(self, pod: Pod, now: float) -> None:
        self.pods[pod.metadata.namespace, pod.metadata.name] = pod
        self.store.put_pod(pod, now)


def is_finished(pod: Pod) -> bool:
    """Whether the pod has run to its end."""
    return pod.status.phase in FINISHED


def _settled(pod: Pod) -> Pod:
    """A pod without a phase is pending, or runs if it has a node."""
    phase = pod.status.phase or ("Running" if pod.spec.node_name else "Pending")
    return replace(pod, status=replace(pod.status, phase=phase))


def _running(pod: Pod, node: str) -> Pod:
    return replace(pod, spec=replace(pod.spec, node_name=node), status=replace(pod.status, phase="Running"))


def _terminating(pod: Pod, now: float) -> Pod:
    moment = datetime.fromtimestamp(now, UTC).isoformat()
    return replace(pod, metadata=replace(pod.metadata, deletion_timestamp=moment))


def _recreated(pod: Pod) -> Pod:
    return replace(
        pod,
        metadata=replace(pod.metadata, deletion_timestamp=None),
        spec=replace(pod.spec, node_name=""),
        status=replace(pod.status, phase="Pending", nominated_node_name=""),
    )
