"""When podgroups saved their work last, as they, their owners and their pods say in an annotation."""

from __future__ import annotations

from datetime import datetime
from math import inf

from kai_py.api.keys import LAST_CHECKPOINT_ANNOTATION
from kai_py.api.meta import ObjectMeta, PartialObject
from kai_py.errors import Fault

Name = tuple[str, str]
#: Kind and ``namespace/name`` of an object.
About = tuple[str, str]


class CheckpointBook:
    """The latest checkpoint of each podgroup.

    The annotation may stand on the PodGroup, on one of its owners, or on any of its pods: a group of a single pod has
    no object. The latest of all counts.

    Attributes:
        faults: by kind and ``namespace/name``: annotations that are no timestamps; they are passed over.
        untold: those of them that the object's author has not been told about; whoever tells takes them out.
    """

    def __init__(self) -> None:
        self.faults: dict[About, Fault] = {}
        self.untold: dict[About, tuple[ObjectMeta, Fault]] = {}
        self._of_objects: dict[Name, float] = {}
        self._of_pods: dict[Name, float] = {}
        self._of_owners: dict[str, float] = {}  # by uid
        self._owners: dict[Name, tuple[str, ...]] = {}
        self._owned: dict[str, tuple[Name, ...]] = {}

    def of(self, name: Name) -> float:
        """Seconds since the epoch; -inf = never."""
        owners = [self._of_owners.get(uid, -inf) for uid in self._owners.get(name, ())]
        return max(self._of_objects.get(name, -inf), self._of_pods.get(name, -inf), *owners)

    def put_podgroup(self, meta: ObjectMeta) -> None:
        """Read a PodGroup; without the annotation it says nothing any more."""
        self._link(meta.key, tuple(owner.uid for owner in meta.owner_references))
        self._of_objects.pop(meta.key, None)
        if (moment := self._read("PodGroup", meta)) != -inf:
            self._of_objects[meta.key] = moment

    def put_pod(self, name: Name, meta: ObjectMeta) -> bool:
        """Read a pod of a podgroup; what it has said once stays said. Tells whether it is a later checkpoint."""
        moment = self._read("Pod", meta)
        if moment <= self._of_pods.get(name, -inf):
            return False
        self._of_pods[name] = moment
        return True

    def put_owner(self, owner: PartialObject) -> tuple[Name, ...]:
        """Read an owner; names the podgroups that it owns if their latest checkpoint may be another one now."""
        uid = owner.metadata.uid
        before, moment = self._of_owners.pop(uid, -inf), self._read(owner.kind, owner.metadata)
        if moment != -inf:
            self._of_owners[uid] = moment
        return self._owned.get(uid, ()) if moment != before else ()

    def drop_owner(self, owner: PartialObject) -> None:
        """An owner is gone; podgroups forget what it said when something else happens to them."""
        self._of_owners.pop(owner.metadata.uid, None)
        self._forgive(owner.kind, owner.metadata.key)

    def _link(self, name: Name, uids: tuple[str, ...]) -> None:
        """A podgroup has these owners now."""
        before = self._owners.pop(name, ())
        if uids:
            self._owners[name] = uids
        if uids == before:
            return
        for uid in before:
            left = tuple(one for one in self._owned.pop(uid, ()) if one != name)
            if left:
                self._owned[uid] = left
        for uid in uids:
            self._owned[uid] = (*self._owned.get(uid, ()), name)

    def drop(self, name: Name) -> None:
        """A podgroup is gone."""
        self._link(name, ())
        self._of_objects.pop(name, None)
        self._of_pods.pop(name, None)
        self._forgive("PodGroup", name)

    def drop_pod(self, name: Name) -> None:
        """A pod is gone, and with it what was wrong with its annotation."""
        self._forgive("Pod", name)

    def _forgive(self, kind: str, name: Name) -> None:
        if self.faults:
            about = kind, "/".join(name)
            self.faults.pop(about, None)
            self.untold.pop(about, None)

    def _read(self, kind: str, meta: ObjectMeta) -> float:
        text = meta.annotations.get(LAST_CHECKPOINT_ANNOTATION)
        if text is None and not self.faults:
            return -inf  # of nearly all pods, at every change of theirs
        about = kind, "/".join(meta.key)
        before = self.faults.pop(about, None)
        if not text:
            return -inf
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is not None and moment.tzinfo is not None:
            return moment.timestamp()
        why = f"{text[:40]!r} is not an RFC 3339 time such as 2026-01-31T12:00:00Z: passed over"
        fault = Fault(" ".join(about), f"metadata.annotations[{LAST_CHECKPOINT_ANNOTATION}]", why)
        self.faults[about] = fault
        if fault != before:
            self.untold[about] = meta, fault
        return -inf
