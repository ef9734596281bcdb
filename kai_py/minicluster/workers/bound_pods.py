"""What a kubelet remembers of a pod, and how annotations make a fake container behave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from kai_py.api.duration import Duration

from .clock import seconds_of
from .room import Amounts, requests_of

Object = dict[str, Any]
Read = TypeVar("Read")

#: Annotations of pods.
_PREFIX: Final = "minicluster.kai-py/"
START_AFTER: Final = "minicluster.kai-py/start-after"
DURATION: Final = "minicluster.kai-py/duration"
EXIT: Final = "minicluster.kai-py/exit"
STOP_AFTER: Final = "minicluster.kai-py/stop-after"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a fake container behaves; None is the kubelets' default, or for ever."""

    start_after: float | None = None
    duration: float | None = None
    stop_after: float | None = None
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class BoundPod:
    """What a kubelet remembers of a pod on its node. Times are seconds.

    Attributes:
        grace: what the deletion grants; None while nobody has asked for deletion.
        started: when the pod began to run.
        behaviour: what its annotations say, or what is wrong with them.
    """

    uid: str
    node: str
    phase: str
    grace: float | None
    started: float | None
    requests: Amounts
    behaviour: Behaviour | str
    revision: int = field(compare=False)


def bound_pod(pod: Object) -> BoundPod:
    """The view of a pod that has a node."""
    meta, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    started = status.get("startTime")
    return BoundPod(
        uid=meta["uid"],
        node=spec["nodeName"],
        phase=status.get("phase", "Pending"),
        grace=meta.get("deletionGracePeriodSeconds", 0) if "deletionTimestamp" in meta else None,
        started=seconds_of(started) if started else None,
        requests=requests_of(spec, claimed=_claimed(status), taken=_taken(status)),
        behaviour=_behaviour(meta.get("annotations") or {}),
        revision=int(meta["resourceVersion"]),
    )


def _claimed(status: Object) -> frozenset[str]:
    """Extended resources that a claim on devices stands for."""
    mappings = (status.get("extendedResourceClaimStatus") or {}).get("requestMappings") or ()
    return frozenset(mapping["resourceName"] for mapping in mappings)


def _taken(status: Object) -> list[Mapping[str, str]]:
    """What devices take of the node, claim by claim."""
    return [one.get("resources") or {} for one in status.get("nodeAllocatableResourceClaimStatuses") or ()]


_USUAL: Final = Behaviour()


def _behaviour(annotations: Mapping[str, str]) -> Behaviour | str:
    """What the annotations say, or what is wrong with them."""
    if not any(key.startswith(_PREFIX) for key in annotations):
        return _USUAL
    try:
        return Behaviour(
            start_after=_read(annotations, START_AFTER, _seconds),
            duration=_read(annotations, DURATION, _seconds),
            stop_after=_read(annotations, STOP_AFTER, _seconds),
            exit_code=_read(annotations, EXIT, int) or 0,
        )
    except ValueError as error:
        return str(error)


def _read(annotations: Mapping[str, str], key: str, read: Callable[[str], Read]) -> Read | None:
    if key not in annotations:
        return None
    try:
        return read(annotations[key])
    except ValueError as error:
        raise ValueError(f"annotation {key}: {error}") from error


def _seconds(text: str) -> float:
    return max(Duration.parse(text).seconds, 0.0)
