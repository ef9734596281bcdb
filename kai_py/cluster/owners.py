"""Owners of pods: their labels and annotations decide about grouping, whenever they become known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from kai_py.api.meta import ObjectMeta, PartialObject
from kai_py.core.tables.pods import PodKey

T = TypeVar("T")


class OwnerBook:
    """All owners that are known by uid, and which pods may have to be grouped anew because of them."""

    def __init__(self) -> None:
        self.objects: dict[str, PartialObject] = {}
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
        self.objects[uid] = owner
        for above in owner.metadata.owner_references:
            self._owned.setdefault(above.uid, set()).add(uid)
        return True

    def drop(self, uid: str) -> bool:
        """Forget an owner; pods below it keep what was derived from it until they change themselves."""
        owner = self.objects.pop(uid, None)
        if owner is not None:
            self._unlink(owner)
        return owner is not None

    def attach(self, pod: PodKey, meta: ObjectMeta) -> None:
        """Name a pod in :meth:`below` from now on."""
        for above in meta.owner_references:
            self._pods.setdefault(above.uid, set()).add(pod)

    def detach(self, pod: PodKey, meta: ObjectMeta) -> None:
        """Undo :meth:`attach`."""
        for above in meta.owner_references:
            _discard(self._pods, above.uid, pod)

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

    def knows_all_above(self, meta: ObjectMeta) -> bool:
        """Whether there is nobody above an object whom we do not know (yet)."""
        return all(above in self.objects for above in self._above(meta))

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


def _discard(sets: dict[str, set[T]], name: str, member: T) -> None:
    if (members := sets.get(name)) is not None:
        members.discard(member)
        if not members:
            del sets[name]


def _says(owner: PartialObject) -> tuple[object, ...]:
    """What of an owner may decide about grouping: a status write does not."""
    meta = owner.metadata
    return meta.labels, meta.annotations, meta.owner_references, getattr(owner, "spec", None)
