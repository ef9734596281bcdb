"""Owners of pods: their labels and annotations decide about grouping, whenever they become known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

from kai_py.api.meta import ObjectMeta, PartialObject
from kai_py.cluster.owner_kinds import OwnerKinds
from kai_py.core.tables.pods import PodKey

K = TypeVar("K")
T = TypeVar("T")


#: API group, kind, namespace and name.
ObjectName = tuple[str, str, str, str]


class OwnerBook:
    """All owners that are known by uid, and which pods may have to be grouped anew because of them.

    Attributes:
        objects: by uid.
        kinds: which of them are followed.
        asker: the pod that is being grouped: what it asks for is noted.
    """

    def __init__(self) -> None:
        self.objects: dict[str, PartialObject] = {}
        self.kinds = OwnerKinds()
        self.asker: PodKey | None = None
        self._named: dict[ObjectName, str] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._askers: dict[ObjectName, set[PodKey]] = {}
        self._asked: dict[PodKey, set[ObjectName]] = {}
        self._owned: dict[str, set[str]] = {}  # known owners by the uid of who owns them
        self._pods: dict[str, set[PodKey]] = {}

    def put(self, owner: PartialObject) -> bool:
        """Take in an owner; tells whether pods below it may have to be grouped anew."""
        uid = owner.metadata.uid
        before = self.objects.get(uid)
        if before is not None:
            if _says(before) == _says(owner):
                return False
            self._unlink(before)
        else:
            self._counts[_name(owner)[:2]] += 1
        self.objects[uid] = owner
        self._named[_name(owner)] = uid
        for above in owner.metadata.owner_references:
            self._owned.setdefault(above.uid, set()).add(uid)
        return True

    def drop(self, uid: str) -> bool:
        """Forget an owner; pods below it keep what was derived from it until they change themselves."""
        owner = self.objects.pop(uid, None)
        if owner is not None:
            self._unlink(owner)
            self._counts[_name(owner)[:2]] -= 1
            if self._named.get(_name(owner)) == uid:  # it may have been made anew under its name
                del self._named[_name(owner)]
        return owner is not None

    def attach(self, pod: PodKey, meta: ObjectMeta) -> None:
        """Name a pod in :meth:`below` from now on."""
        for above in meta.owner_references:
            self._pods.setdefault(above.uid, set()).add(pod)

    def detach(self, pod: PodKey, meta: ObjectMeta) -> None:
        """Undo :meth:`attach`."""
        for above in meta.owner_references:
            _discard(self._pods, above.uid, pod)
        for name in self._asked.pop(pod, ()):
            _discard(self._askers, name, pod)

    def find(self, name: ObjectName) -> PartialObject | None:
        """An object by its name. Who asks is named in :meth:`concerned` when it comes or changes."""
        if self.asker is not None:
            self._askers.setdefault(name, set()).add(self.asker)
            self._asked.setdefault(self.asker, set()).add(name)
        uid = self._named.get(name)
        if uid is None:
            self.kinds.want(name[:2])
            return None
        return self.objects[uid]

    def has_kind(self, kind: tuple[str, str]) -> bool:
        """Whether objects of a kind are known."""
        return self._counts[kind] > 0

    def concerned(self, owner: PartialObject) -> list[PodKey]:
        """The attached pods that an object owns, directly or not, and those that have asked for it."""
        asked = self._askers.get(_name(owner))
        below = self.below(owner.metadata.uid)
        return sorted({*below, *asked}) if asked else below

    def below(self, uid: str) -> list[PodKey]:
        """The attached pods that an owner owns, directly or not."""
        found: set[PodKey] = set()
        seen, todo = {uid}, [uid]
        while todo:
            at = todo.pop()
            found |= self._pods.get(at, set())
            fresh = self._owned.get(at, set()) - seen
            seen |= fresh
            todo += fresh
        return sorted(found)

    def above(self, meta: ObjectMeta) -> Iterator[PartialObject]:
        """The known owners of an object, of those, and so on."""
        return (self.objects[uid] for uid in self._above(meta) if uid in self.objects)

    def knows_all_above(self, meta: ObjectMeta) -> bool:
        """Whether there is nobody above an object whom we do not know (yet)."""
        return self.unknown_above(meta) is None

    def unknown_above(self, meta: ObjectMeta) -> str | None:
        """The uid of somebody above an object whom we do not know (yet); None if there is nobody."""
        return next((above for above in self._above(meta) if above not in self.objects), None)

    def _above(self, meta: ObjectMeta) -> Iterator[str]:
        seen: set[str] = set()
        todo = [reference.uid for reference in meta.owner_references]
        while todo:
            uid = todo.pop()
            if uid in seen:
                continue
            seen.add(uid)
            yield uid
            if (owner := self.objects.get(uid)) is not None:
                todo += [reference.uid for reference in owner.metadata.owner_references]

    def _unlink(self, owner: PartialObject) -> None:
        for above in owner.metadata.owner_references:
            _discard(self._owned, above.uid, owner.metadata.uid)


def _name(owner: PartialObject) -> ObjectName:
    return owner.api_version.rpartition("/")[0], owner.kind, *owner.metadata.key


def _discard(sets: dict[K, set[T]], name: K, member: T) -> None:
    if (members := sets.get(name)) is not None:
        members.discard(member)
        if not members:
            del sets[name]


def _says(owner: PartialObject) -> tuple[object, ...]:
    """What of an owner may decide about grouping. Of its status, only what a rule reads is ever kept."""
    meta = owner.metadata
    fields = getattr(owner, "spec", None), getattr(owner, "status", None)
    return meta.labels, meta.annotations, meta.owner_references, fields
