"""Reading pods: where they belong, what they ask for, and what is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from kai_py.api.keys import SHARE_CLAIM, SHARED_GPU_CONFIGMAP_ANNOTATION
from kai_py.api.meta import NO_STRINGS, ObjectMeta, OwnerReference, PartialObject
from kai_py.api.pod import Pod, PodSpec
from kai_py.cluster.encode.default_spread import DefaultSpread
from kai_py.cluster.encode.demand import Demand, DemandReader
from kai_py.cluster.encode.shares import asks_for_part, entry_of
from kai_py.cluster.encode.support import unsupported_by
from kai_py.cluster.failures import Failures
from kai_py.cluster.groups import GroupBook
from kai_py.cluster.membership import Grouper
from kai_py.cluster.owners import OwnerBook
from kai_py.cluster.pods import Blocked, Place
from kai_py.cluster.runtimes import RuntimeBook
from kai_py.cluster.shares.ways import Ways
from kai_py.cluster.terms import TermsPool
from kai_py.core.resources import PODS
from kai_py.core.result import ReasonCode
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.pods import PodKey
from kai_py.errors import Fault, MalformedObjectError

#: A pod that cannot be read asks for nothing, and holds its slot on the node.
_NOTHING: Final = Demand(((PODS, 1),), PodClass(()))
#: Code of an error that says no more than that something is not known yet.
PENDING: Final = "GroupingPending"
#: Node of a stub: some rules ask whether a pod has one.
SOMEWHERE: Final = "*"
#: So many pod specs are remembered.
_REMEMBERED: Final = 1024


class PodReader:
    """Reads pods, one at a time; a malformed one becomes a fault and stops nobody.

    Args:
        grouper: tells which podgroup a pod belongs to.
        owners: what is known of those who own pods.
        groups: lends names and terms, so that pods of one podgroup share them.
        failures: which nodes a pod must keep away from, and whether it pauses.

    Attributes:
        ways: by which pods may have parts of GPUs; at first nobody asks how they learn which.
        runtimes: which RuntimeClasses there are.
        faults: (``Pod`` or ``Grouping``, ``namespace/name``) -> what is wrong.
        untold: owners that cannot be understood, by uid, and why; emptied by whoever tells their users.
    """

    def __init__(self, grouper: Grouper, owners: OwnerBook, groups: GroupBook, failures: Failures) -> None:
        self.faults: dict[tuple[str, str], tuple[Fault, ...]] = {}
        self.untold: dict[str, tuple[PartialObject, tuple[Fault, ...]]] = {}
        #: Pods that wait because it cannot be told where they belong, and why.
        self._stuck: dict[str, Blocked] = {}
        self._told: dict[str, tuple[Fault, ...]] = {}
        self.ways = Ways()
        self.runtimes = RuntimeBook()
        self._group_of = grouper
        self._owners = owners
        self._groups = groups
        self._failures = failures
        self._demands = DemandReader()
        self._terms = TermsPool()

    def place(self, pod: Pod, last: Place | None) -> Place | None:
        """Where a pod of ours belongs; None when it is to be left alone.

        Args:
            pod: the pod.
            last: its last good place, which is kept when it cannot be told any more: that is a fault.
        """
        key = f"{pod.metadata.namespace}/{pod.metadata.name}"
        try:
            membership = self._group_of(pod, self._owners.objects)
        except MalformedObjectError as error:
            return self._in_doubt(pod, key, error, last)
        if self._stuck.pop(key, None) is not None:
            self.faults.pop(("Grouping", key), None)
        if membership is None:
            return None
        name, near = self._groups.name(membership.key)
        return Place(name, sys.intern(membership.subgroup or ""), self._terms.of(membership, near))

    def _in_doubt(self, pod: Pod, key: str, error: MalformedObjectError, last: Place | None) -> Place:
        """The last good place, or a podgroup of its own, in which it waits and is told why."""
        first = error.faults[0]
        code = ReasonCode.OWNER_INVALID
        if error.code == PENDING:
            code = ReasonCode.OWNER_PENDING
        else:
            self.faults["Grouping", key] = error.faults
            self._note(pod, error.faults)
        details = {"owner": first.where, "field": first.field, "message": first.message}
        self._stuck[key] = code, {name: text for name, text in details.items() if text}
        meta = pod.metadata
        return last or Place((meta.namespace, f"pg-{meta.name}-{meta.uid}"), "", None)

    def _note(self, pod: Pod, faults: tuple[Fault, ...]) -> None:
        """Have the owner's user told, unless it was said before."""
        for owner in self._owners.above(pod.metadata):
            uid = owner.metadata.uid
            about = f"{owner.kind} {'/'.join(filter(None, owner.metadata.key))}"
            if about == faults[0].where and self._told.get(uid) != faults:
                self._told[uid] = faults
                self.untold[uid] = owner, faults

    def forget_owner(self, uid: str) -> None:
        """An owner is gone or says something else; if that cannot be understood, its user is told again."""
        self._told.pop(uid, None)

    def is_stuck(self, key: PodKey) -> bool:
        """Whether it cannot be told where a pod belongs."""
        return str(key) in self._stuck

    def demand(self, pod: Pod, key: PodKey, now: float, *, ours: bool) -> tuple[Demand, Blocked | None]:
        """What a pod asks for, and what keeps it from being scheduled; a malformed one asks for nothing."""
        fault = ("Pod", str(key))
        waits = ours and not pod.spec.node_name
        try:
            excluded = self._failures.excluded(key, now) if waits else frozenset()
            demand = self._demands.read(pod, stays=not ours, excluded=excluded)
        except MalformedObjectError as error:
            self.faults[fault] = error.faults
            first = error.faults[0]
            details = {"pod": str(key), "field": first.field, "message": first.message}
            return _NOTHING, (ReasonCode.POD_INVALID, details) if waits else None
        self.faults.pop(fault, None)
        if not waits:
            return demand, None
        if self.runtimes.lacks(name := pod.spec.runtime_class_name):
            details = {"pod": str(key), "field": "spec.runtimeClassName", "runtimeClass": name}
            return demand, (ReasonCode.RUNTIME_CLASS_MISSING, details)
        if (stuck := self._stuck.get(str(key))) is not None:
            return demand, stuck
        if asks_for_part(pod.metadata.annotations) and (held := self._sharing(pod, key)) is not None:
            return demand, held
        if self._failures.paused(key, now):
            why = self._failures.why(key)
            return demand, (ReasonCode.BACKING_OFF, {"pod": str(key)} | ({"message": why} if why else {}))
        return demand, None

    def _sharing(self, pod: Pod, key: PodKey) -> Blocked | None:
        """What keeps a pod from sharing GPUs; one that has a claim for its part only waits for that."""
        if entry_of(pod) is not None:
            return None
        try:
            way = self.ways.of_pod(pod.metadata.annotations, f"Pod {key}")
        except MalformedObjectError as error:
            self.faults["Pod", str(key)] = error.faults
            first = error.faults[0]
            return ReasonCode.POD_INVALID, {"pod": str(key), "field": first.field, "message": first.message}
        if (field := unsupported_by(pod, gpu_sharing=way != "none")) is not None:
            return ReasonCode.UNSUPPORTED, {"object": f"Pod {key}", "field": field}
        if way == "claims":
            return ReasonCode.SHARE_UNPREPARED, {"pod": str(key), "claim": SHARE_CLAIM}
        if way == "reservation" and not pod.metadata.annotations.get(SHARED_GPU_CONFIGMAP_ANNOTATION):
            return ReasonCode.SHARE_UNPREPARED, {"pod": str(key), "annotation": SHARED_GPU_CONFIGMAP_ANNOTATION}
        return None

    @property
    def spreading(self) -> DefaultSpread:
        """Of pods that do not say how they want to be spread."""
        return self._demands.spreading

    def heed_images(self, *, wanted: bool) -> bool:
        """Whether pods with different images are told apart; tells whether that has changed."""
        return self._demands.heed_images(wanted=wanted)

    def forget(self, key: PodKey) -> None:
        """The pod is gone, and what was wrong with it does not matter any more."""
        self.faults.pop(("Pod", str(key)), None)
        self.faults.pop(("Grouping", str(key)), None)
        self._stuck.pop(str(key), None)


class Stubs:
    """Makes of pods what decides about their podgroups. Strings and specs are shared: it is a tenth of a pod's size."""

    def __init__(self) -> None:
        self._specs: dict[bytes, PodSpec] = {}
        self._encoder = msgspec.msgpack.Encoder(enc_hook=dict)  # absent maps are proxies, which it does not know

    def of(self, pod: Pod) -> Pod:
        """The pod without what it runs, where, and how it is doing."""
        spec = replace(
            pod.spec, node_name=SOMEWHERE, containers=(), init_containers=(), volumes=(), affinity=None, tolerations=()
        )
        text = self._encoder.encode(spec)
        if len(self._specs) >= _REMEMBERED:
            self._specs.clear()
        meta = ObjectMeta(
            name=pod.metadata.name,
            namespace=sys.intern(pod.metadata.namespace),
            uid=pod.metadata.uid,
            creation_timestamp=pod.metadata.creation_timestamp,
            labels=_shared(pod.metadata.labels),
            annotations=_shared(pod.metadata.annotations),
            owner_references=tuple(map(_reference, pod.metadata.owner_references)),
        )
        return Pod(metadata=meta, spec=self._specs.setdefault(text, spec))


def _shared(texts: Mapping[str, str]) -> Mapping[str, str]:
    return {sys.intern(key): sys.intern(value) for key, value in texts.items()} if texts else NO_STRINGS


def _reference(owner: OwnerReference) -> OwnerReference:
    return OwnerReference(
        api_version=sys.intern(owner.api_version),
        kind=sys.intern(owner.kind),
        name=sys.intern(owner.name),
        uid=sys.intern(owner.uid),
        controller=owner.controller,
    )
