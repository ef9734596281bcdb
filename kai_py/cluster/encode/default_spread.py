"""How pods are spread that say nothing about it: kube-scheduler's default constraints (PodTopologySpread).

Replicas are pods that Services select, and those of one ReplicaSet, ReplicationController or StatefulSet. What such an
owner's selector says is told by who controls a pod: controllers let go of pods that they do not select. So owners need
not be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from kai_py.api.keys import GPU_FRACTION_ANNOTATION, GPU_MEMORY_ANNOTATION, HOSTNAME_LABEL
from kai_py.api.meta import ObjectMeta
from kai_py.api.pod import Pod
from kai_py.cluster.encode.neighbours import AskedSpread, Matcher
from kai_py.cluster.encode.selectors import Selector
from kai_py.cluster.services import ServiceBook
from kai_py.settings.placement import DefaultTopologySpread

_ZONE_LABEL: Final = "topology.kubernetes.io/zone"
#: Stands for a label with the uid of whoever controls a pod. No label is spelled so.
CONTROLLER: Final = "(controller)"
_SHARES: Final = (GPU_FRACTION_ANNOTATION, GPU_MEMORY_ANNOTATION)
#: Owners whose pods are replicas of each other.
_REPLICATING: Final = frozenset({("apps", "ReplicaSet"), ("apps", "StatefulSet"), ("", "ReplicationController")})


@dataclass(frozen=True)
class Default:
    """A constraint for all pods that have none: label, skew, whether it is hard, whether nodes may lack the label."""

    key: str
    max_skew: int
    hard: bool = False
    lenient: bool = False


SYSTEM: Final = (Default(HOSTNAME_LABEL, 3, lenient=True), Default(_ZONE_LABEL, 5, lenient=True))


class DefaultSpread:
    """Finds the default constraints of pods. At first there are none.

    Attributes:
        services: which pods they select.
    """

    def __init__(self) -> None:
        self.services = ServiceBook()
        self._constraints: tuple[Default, ...] = ()
        self._devices = False

    def configure(self, wanted: DefaultTopologySpread) -> bool:
        """Work with these settings from now on; tells whether they differ."""
        listed = (
            Default(one.topology_key, one.max_skew, hard=one.when_unsatisfiable == "DoNotSchedule")
            for one in wanted.default_constraints
        )
        constraints = SYSTEM if wanted.defaulting_type == "System" else tuple(listed)
        changed = (constraints, wanted.devices) != (self._constraints, self._devices)
        self._constraints, self._devices = constraints, wanted.devices
        return changed

    @property
    def wanted(self) -> bool:
        """Whether there are any."""
        return bool(self._constraints)

    def of(self, pod: Pod, request: Iterable[tuple[str, int]]) -> tuple[AskedSpread, ...]:
        """The default constraints of a pod without constraints of its own.

        Args:
            pod: the pod.
            request: names and amounts of what it asks for.
        """
        if not self._constraints or (not self._devices and _asks_for_devices(pod, request)):
            return ()
        selector = self._replicas(pod)
        if not selector:
            return ()
        matcher = Matcher(frozenset({pod.metadata.namespace}), None, Selector(tuple(sorted(selector.items())), ()))
        return tuple(
            AskedSpread(
                key=one.key,
                matcher=matcher,
                counts_itself=True,
                max_skew=one.max_skew,
                min_domains=1,
                hard=one.hard,
                honors_affinity=True,
                honors_taints=False,
                default=True,
                lenient=one.lenient,
            )
            for one in self._constraints
        )

    def _replicas(self, pod: Pod) -> Mapping[str, str]:
        """Labels that replicas of a pod have; none if nobody makes it one."""
        if controller := _controller(pod.metadata):
            return {CONTROLLER: controller}  # its replicas have all labels by which Services select it
        return self.services.selecting(pod.metadata.namespace, pod.metadata.labels)


def known_by(meta: ObjectMeta) -> Mapping[str, str]:
    """The labels of a pod by which others mean it; those of a replicating controller know it by that, too."""
    controller = _controller(meta)
    return {**meta.labels, CONTROLLER: controller} if controller else meta.labels


def _controller(meta: ObjectMeta) -> str:
    """The uid of whoever makes replicas of a pod; empty if nobody does."""
    owner = meta.controller
    return owner.uid if owner is not None and (owner.group, owner.kind) in _REPLICATING else ""


def _asks_for_devices(pod: Pod, request: Iterable[tuple[str, int]]) -> bool:
    """Whether a pod claims devices, shares one, or asks for an extended resource."""
    if pod.spec.resource_claims or any(key in pod.metadata.annotations for key in _SHARES):
        return True
    return any("/" in name for name, _ in request)
