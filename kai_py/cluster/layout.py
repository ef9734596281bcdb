"""Laying pods out: in the books of pods and podgroups, and anew when something else decides about them."""

from __future__ import annotations

from collections.abc import Container, Iterable

from msgspec.structs import replace

from kai_py.api.keys import NVIDIA_GPU
from kai_py.api.pod import Pod
from kai_py.cluster.classes import ClassBook
from kai_py.cluster.encode.default_spread import known_by
from kai_py.cluster.encode.shares import groups_of, names_device
from kai_py.cluster.groups import GroupBook
from kai_py.cluster.history import HistoryBook
from kai_py.cluster.labels import LabelBook
from kai_py.cluster.owners import OwnerBook
from kai_py.cluster.phases import Assumptions
from kai_py.cluster.pods import Place, PodBook, PodFacts, facts_of
from kai_py.cluster.reading import PodReader, Stubs
from kai_py.cluster.reservations import ReservationBook, Seat, shown_devices
from kai_py.cluster.shares.ways import Ways
from kai_py.cluster.terms import Terms
from kai_py.core.tables.pods import PodKey


class PodLayout:
    """Writes down what is known of each pod, and keeps those that may have to be read again.

    A pod is read again when an owner, a PriorityClass or a setting changes, when a decision about it is taken back, and
    when a pause of it ends.

    Args:
        reader: tells where pods belong, and what they ask for.
        classes: counts who uses its numbers.
        labels: counts who uses its numbers.
        owners: of the pods that are kept.
        groups: pods join and leave them.
        pods: where pods are laid out.
        assumptions: decisions that are on their way.
        history: learns whose pods never preempt.
        reservations: tells what the pods that hold shared GPUs count as.
    """

    def __init__(
        self,
        reader: PodReader,
        *,
        classes: ClassBook,
        labels: LabelBook,
        owners: OwnerBook,
        groups: GroupBook,
        pods: PodBook,
        assumptions: Assumptions,
        history: HistoryBook,
        reservations: ReservationBook | None = None,
    ) -> None:
        self._reservations = reservations or ReservationBook()
        self._reader = reader
        self._classes = classes
        self._labels = labels
        self._owners = owners
        self._groups = groups
        self._pods = pods
        self._assumptions = assumptions
        self._history = history
        self._stubs = Stubs()
        #: Pods of ours that may have to be read again: those that wait, whole; of those that run the part that decides
        #: about grouping, as long as an owner of theirs is not known.
        self._kept: dict[PodKey, Pod] = {}
        #: Of each written podgroup whose pods all run, one that is kept: its terms follow the owner's changes.
        self._witnesses: dict[tuple[str, str], PodKey] = {}
        self._witnessing: dict[PodKey, tuple[str, str]] = {}
        self._now = 0.0

    def put(self, key: PodKey, pod: Pod, now: float, *, ours: bool) -> bool:
        """Lay a pod out as a watch reports it; tells whether anything that matters changed."""
        self._now = now
        earlier = self._kept.get(key)
        self._unkeep(key)
        settled = bool(pod.spec.node_name) and self._owners.knows_all_above(pod.metadata)
        if ours and not settled:
            self._keep(key, pod)
        changed = self._read(key, pod, now, ours=ours, earlier=earlier)
        if ours and settled and (group := self._group_without_witness(key)) is not None:
            self._keep(key, pod)
            self._testify(key, group)
            self._place(key, pod, None)  # once more, so that it is noted what it asks about
        return changed

    def _keep(self, key: PodKey, pod: Pod) -> None:
        """Keep as much of a pod as is needed to read it again."""
        self._kept[key] = self._stubs.of(pod) if pod.spec.node_name else pod
        self._owners.attach(key, pod.metadata)

    def _group_without_witness(self, key: PodKey) -> tuple[str, str] | None:
        """The written podgroup of a running pod whose owners are known, if no other pod of it is kept for all."""
        facts = self._pods.facts.get(key)
        place = facts.place if facts is not None else None
        if place is None or place.terms is None or place.terms.derived is None:
            return None
        return place.group if self._witnesses.get(place.group, key) == key else None

    def _testify(self, key: PodKey, group: tuple[str, str]) -> None:
        """A pod is kept for all of its podgroup."""
        self._witnesses[group] = key
        self._witnessing[key] = group

    def _retire(self, key: PodKey) -> None:
        """A pod is no witness any more."""
        if (group := self._witnessing.pop(key, None)) is not None:
            del self._witnesses[group]

    def drop(self, key: PodKey) -> bool:
        """Forget a pod."""
        self._reader.forget(key)
        self._history.checkpoints.drop_pod(key[:2])
        self._unkeep(key)
        return self._drop_facts(key)

    def again(self, key: PodKey, now: float) -> None:
        """Lay a pod out anew: a decision about it was given up, or a pause has ended."""
        pod, facts = self._kept.get(key), self._pods.facts.get(key)
        if pod is not None and not (facts is not None and facts.bound):
            self._read(key, pod, now, ours=True)
        else:
            self._pods.fly(key, self._assumptions.get(key))

    def regroup(self, keys: Iterable[PodKey], now: float) -> bool:
        """Find the places of kept pods anew, because an owner changed; tells whether any did."""
        self._now, keys = now, list(keys)
        changed = [self._regroup(key, now) for key in keys]
        return any(changed) | self._spread(keys)

    def _spread(self, keys: Iterable[PodKey]) -> bool:
        """Let members that are not kept say of their podgroup what those that were read anew say."""
        said: dict[tuple[str, str], Terms] = {}
        for key in keys:
            facts = self._pods.facts.get(key)
            terms = facts.place.terms if facts is not None and facts.place is not None else None
            if facts is not None and facts.place is not None and terms is not None and terms.derived is not None:
                said[facts.place.group] = terms
        changed = False
        for group, terms in said.items():
            for member in self._groups.groups[group].members - self._kept.keys():
                before = self._pods.facts[member]
                if before.place is not None and before.place.terms != terms:
                    self._classes.hold(before.class_number)
                    self._labels.hold(before.label_set)
                    changed |= self._lay(before, replace(before, place=replace(before.place, terms=terms)))
        return changed

    def regroup_all(self, now: float | None = None) -> bool:
        """Find the places of all kept pods anew. Without ``now``, those that had none stay without."""
        keys = list(self._kept)
        changed = [self._regroup(key, now) for key in keys]
        return any(changed) | self._spread(keys)

    def share_gpus(self, ways: Ways, now: float) -> None:
        """By which ways pods that wait may have parts of GPUs, from now on; at first all may, and none is prepared."""
        if ways != self._reader.ways:
            self._reader.ways = ways
            for key in list(self._kept):
                self.again(key, now)

    def heed_images(self, *, wanted: bool, now: float) -> None:
        """Whether pods with different images are told apart, from now on; at first they are not."""
        if self._reader.heed_images(wanted=wanted):
            for key in list(self._kept):
                self.again(key, now)

    def spread_anew(self, namespaces: Container[str] | None, now: float) -> None:
        """Lay pods that wait anew: defaults of spreading have changed, or Services of some namespaces; None = all."""
        waiting = [key for key, pod in self._kept.items() if not pod.spec.node_name]
        for key in waiting:
            if namespaces is None or key.namespace in namespaces:
                self.again(key, now)

    def again_with(self, runtime_class: str | None, now: float) -> None:
        """Lay those anew that name a RuntimeClass, which has come or gone; None = any."""
        names = {key: pod.spec.runtime_class_name for key, pod in self._kept.items()}
        for key in [key for key, name in names.items() if name and runtime_class in (None, name)]:
            self.again(key, now)

    def device_labels(self, key: PodKey) -> list[str]:
        """The labels by which a pod that waits names devices, from an earlier attempt to bind it."""
        pod = self._kept.get(key)
        return [label for label in pod.metadata.labels if names_device(label)] if pod is not None else []

    def _unkeep(self, key: PodKey) -> None:
        if (pod := self._kept.pop(key, None)) is not None:
            self._owners.detach(key, pod.metadata)
            self._retire(key)

    def _read(self, key: PodKey, pod: Pod, now: float, *, ours: bool, earlier: Pod | None = None) -> bool:
        """Lay a pod out, with the decision that is on its way for it.

        Args:
            key: of the pod.
            pod: as it is now.
            now: seconds since the epoch.
            ours: whether it is ours to schedule.
            earlier: as it was kept until now.
        """
        before, flight = self._pods.facts.get(key), self._assumptions.get(key)
        holds = bool(pod.spec.node_name) or flight is not None
        if not ours:
            place = None
        elif before is not None and earlier is not None and self._stays(key, earlier, pod):
            place = before.place
        else:
            place = self._place(key, pod, before.place if before is not None and holds else None)
        promised = "" if ours else pod.status.nominated_node_name  # by another scheduler: counts like a pod
        if place is None and not (holds or promised):
            return self._drop_facts(key)
        if place is not None and pod.spec.preemption_policy == "Never":
            self._history.never_preempts(place.group)
        if place is not None:
            self._history.heed(place.group, pod.metadata)
        demand, problem = self._reader.demand(pod, key, now, ours=place is not None)
        reserves = not ours and self._reservations.covers(pod)
        if reserves and not self._reservations.counts(pod):
            demand = demand.without(NVIDIA_GPU)
        share = demand.constraints.share
        facts = facts_of(
            pod,
            place,
            bound=pod.spec.node_name or promised,
            class_number=self._classes.take(demand),
            problem=problem,
            flight=flight,
            groups=groups_of(pod, share.devices) if share is not None and (pod.spec.node_name or promised) else (),
            label_set=self._labels.take(pod.metadata.namespace, known_by(pod.metadata)),
        )
        if reserves and (since := self._reservations.idle_since(pod, now)) is not None:
            facts = replace(facts, deleted=min(facts.deleted, since))
        changed = self._lay(before, facts)
        if facts.groups and (devices := shown_devices(pod.metadata.annotations)):
            for group in facts.groups:
                self._reservations.tell(Seat(facts.node, group), devices)
        return changed

    def recount_reservations(self, now: float) -> None:
        """Count pods anew that hold shared GPUs, where somebody has come to share one, or the last one has gone."""
        seats, self._reservations.changed = self._reservations.changed, set()
        for seat in seats:
            for one, pod in self._reservations.pods_of(seat):
                if one.key in self._pods.facts:
                    self._read(one.key, pod, now, ours=False)

    def _regroup(self, key: PodKey, now: float | None) -> bool:
        """Find a pod's place anew. Without ``now``, one that had none stays without."""
        pod, before = self._kept[key], self._pods.facts.get(key)
        if before is None:
            return now is not None and self._read(key, pod, now, ours=True)
        stuck = self._reader.is_stuck(key)
        place = self._place(key, pod, before.place if before.node else None)
        if not before.bound and (stuck or self._reader.is_stuck(key)):
            return self._read(key, pod, self._now, ours=True)  # what keeps it from being scheduled has changed
        if place is None and not before.node:
            return self._drop_facts(key)
        self._classes.hold(before.class_number)
        self._labels.hold(before.label_set)
        changed = self._lay(before, replace(before, place=place))
        if before.bound and self._owners.knows_all_above(pod.metadata):
            self._retire(key)
            if (group := self._group_without_witness(key)) is not None:
                self._testify(key, group)
            else:
                self._unkeep(key)
        return changed

    def _place(self, key: PodKey, pod: Pod, last: Place | None) -> Place | None:
        """Where a pod belongs; what it asks about is noted if it is kept, so that it can be read again."""
        self._owners.asker = key if key in self._kept else None
        try:
            return self._reader.place(pod, last)
        finally:
            self._owners.asker = None

    def _stays(self, key: PodKey, earlier: Pod, pod: Pod) -> bool:
        """Whether a pod belongs where it did: it has got a node, and nothing else that rules of grouping read.

        That is how most pods change. Only where nobody owns the pod: some rules about owners ask for the node. Whatever
        else rules read has had kept pods placed anew when it changed.
        """
        old, new = earlier.metadata, pod.metadata
        return (
            bool(pod.spec.node_name)
            and not new.owner_references
            and not old.owner_references
            and old.labels == new.labels
            and old.annotations == new.annotations
            and earlier.spec == replace(pod.spec, node_name=earlier.spec.node_name)
            and not self._reader.is_stuck(key)
        )

    def _lay(self, before: PodFacts | None, facts: PodFacts) -> bool:
        """Write down what is known of a pod now; its class number is counted already."""
        if before is not None and before.place is not None:
            if facts.place is None or facts.place.group != before.place.group:
                self._groups.leave(before)
                before = None
        else:
            before = None
        if facts.place is not None:
            self._groups.join(before, facts)
            terms = facts.place.terms
            if terms is not None and terms.derived is None:  # nobody else writes down when it started
                self._history.begun(facts.place.group, facts.begun)
        return self._pods.put(facts)

    def _drop_facts(self, key: PodKey) -> bool:
        facts = self._pods.drop(key)
        if facts is not None and facts.place is not None:
            self._groups.leave(facts)
        return facts is not None
