"""A cluster that carries decisions out at once: what the next cycle of a plan finds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from msgspec.structs import replace

from kai_py.api.meta import ObjectMeta
from kai_py.api.pod import Pod
from kai_py.cluster.encode.shares import labels_of, names_device
from kai_py.cluster.encode.times import seconds
from kai_py.cluster.encode.zones import NUMA_ANNOTATIONS, predicted, seating_of
from kai_py.cluster.needs import needs_of
from kai_py.cluster.pods import FINISHED, STUCK_AFTER, key_of
from kai_py.cluster.store import Store
from kai_py.core.result import Bind, Decision, Evict
from kai_py.planning.budgets import Budget, Disruptions
from kai_py.planning.claims import ClaimKeeper
from kai_py.planning.volumes import bind_volumes

Name = tuple[str, str]


class World:
    """Pods and the store that knows them, moved on cycle by cycle.

    Args:
        store: has everything but the pods already.
        pods: as in the input.
        now: seconds since the epoch.
        budgets: disruption budgets.
        claims: keeps claims on devices; None = there are none.

    Attributes:
        pods: all that there are, by namespace and name.
        gone: those that were there at the beginning and have left for good.
    """

    def __init__(
        self,
        store: Store,
        pods: Iterable[Pod],
        now: float,
        budgets: Iterable[Budget] = (),
        claims: ClaimKeeper | None = None,
    ) -> None:
        self.store = store
        self._claims = claims or ClaimKeeper(store.claims, (), ())
        self.pods: dict[Name, Pod] = {pod.metadata.key: self._claims.with_claims(_settled(pod)) for pod in pods}
        self.gone: set[Name] = set()
        self._stuck = {name for name, pod in self.pods.items() if _leaving_for(pod, now) > STUCK_AFTER}
        for pod in self.pods.values():
            store.put_pod(pod, now)
        self._disruptions = Disruptions(store, budgets, self.pods.values())

    def settle(self, decisions: Iterable[Decision], now: float) -> None:
        """Let the cluster do what was decided, up to the beginning of the next cycle.

        Bound pods run. Whoever is terminating goes, unless it was stuck in that from the start; with a controller it
        is pending again under its name, uid and age, so that no order depends on when somebody was evicted.
        """
        for decision in decisions:
            namespace, _, name = decision.pod.partition("/")
            pod = self.pods[namespace, name]
            if isinstance(decision, Bind):
                self._claims.write(pod, decision)
                bind_volumes(self.store.volumes, decision, self.store.nodes)
                self.store.zones.take(decision.node, decision.zones, 1)
                self.put(_running(pod, decision), now)
            elif isinstance(decision, Evict):
                self.put(_terminating(pod, now), now)
        for name_, pod in list(self.pods.items()):
            if pod.metadata.deletion_timestamp is None or name_ in self._stuck or is_finished(pod):
                continue
            self.store.zones.take(pod.spec.node_name, seating_of(pod), -1)
            freed = self._claims.free(pod, partial(self._uses, pod)) if _has_claims(pod) else pod
            if pod.metadata.controller is not None:
                self.put(self._claims.with_claims(_recreated(freed)), now)
            else:
                self.gone.add(name_)
                self.drop(name_)
        self._disruptions.count(self.pods.values())

    def _uses(self, gone: Pod, claim: Name) -> bool:
        """Whether another pod than one that has gone runs and uses a claim."""
        others = (pod for pod in self.pods.values() if pod.spec.resource_claims and pod.spec.node_name)
        return any(pod is not gone and not is_finished(pod) and claim in needs_of(pod).claims for pod in others)

    def restart(self, pod: Pod, now: float) -> None:
        """A pod has lost its node: its controller makes it again."""
        self.put(_recreated(pod), now)

    def drop(self, name: Name) -> None:
        """Let a pod go for good."""
        self.store.drop_pod(key_of(self.pods.pop(name)))

    def put(self, pod: Pod, now: float) -> None:
        """Take in a pod that is new, or another one than before."""
        self.pods[pod.metadata.key] = pod
        self.store.put_pod(pod, now)


def _has_claims(pod: Pod) -> bool:
    return bool(pod.spec.resource_claims) or pod.status.extended_resource_claim_status is not None


def is_finished(pod: Pod) -> bool:
    """Whether the pod has run to its end."""
    return pod.status.phase in FINISHED


def _leaving_for(pod: Pod, now: float) -> float:
    """Seconds since the pod was told to go; 0 if it was not."""
    deleted = pod.metadata.deletion_timestamp
    return now - seconds(deleted) if deleted is not None else 0.0


def _settled(pod: Pod) -> Pod:
    """A pod without a phase is pending, or runs if it has a node."""
    phase = pod.status.phase or ("Running" if pod.spec.node_name else "Pending")
    return replace(pod, status=replace(pod.status, phase=phase))


def _running(pod: Pod, bind: Bind) -> Pod:
    meta = _on_devices(pod.metadata, bind.gpu_groups) if bind.gpu_groups else pod.metadata
    if bind.zones:
        meta = replace(meta, annotations={**meta.annotations, **predicted(bind.zones)})
    return replace(
        pod,
        metadata=meta,
        spec=replace(pod.spec, node_name=bind.node),
        status=replace(pod.status, phase="Running"),
    )


def _on_devices(meta: ObjectMeta, groups: tuple[str, ...]) -> ObjectMeta:
    """Labels that name the devices on which a pod has its share, and no others."""
    others = {key: value for key, value in meta.labels.items() if not names_device(key)}
    return replace(meta, labels={**others, **labels_of(groups)})


def _without_zones(meta: ObjectMeta) -> ObjectMeta:
    others = {key: value for key, value in meta.annotations.items() if key not in NUMA_ANNOTATIONS}
    return replace(meta, annotations=others) if len(others) < len(meta.annotations) else meta


def _terminating(pod: Pod, now: float) -> Pod:
    moment = datetime.fromtimestamp(now, UTC).isoformat()
    return replace(pod, metadata=replace(pod.metadata, deletion_timestamp=moment))


def _recreated(pod: Pod) -> Pod:
    return replace(
        pod,
        metadata=replace(_without_zones(_on_devices(pod.metadata, ())), deletion_timestamp=None),
        spec=replace(pod.spec, node_name=""),
        status=replace(pod.status, phase="Pending", nominated_node_name=""),
    )
