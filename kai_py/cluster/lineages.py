"""Owners come, change and go: pods below them, and pods that have asked about them, are grouped anew."""

from __future__ import annotations

from kai_py.api.meta import PartialObject
from kai_py.cluster.finished import FinishedBook
from kai_py.cluster.history import HistoryBook
from kai_py.cluster.layout import PodLayout
from kai_py.cluster.owner_kinds import KindName
from kai_py.cluster.owners import OwnerBook
from kai_py.cluster.pod_group_claims import PodGroupClaims
from kai_py.cluster.reading import PodReader
from kai_py.errors import Fault


class Lineages:
    """Takes in owners.

    Args:
        owners: where they are kept.
        layout: reads pods again.
        reader: remembers whose users were told what.
        history: learns when workloads saved their work.
        pod_groups: says which PodGroups decide about claims.
        finished: pods that have succeeded.
    """

    def __init__(
        self,
        owners: OwnerBook,
        layout: PodLayout,
        reader: PodReader,
        history: HistoryBook,
        pod_groups: PodGroupClaims,
        finished: FinishedBook,
    ) -> None:
        self._pod_groups = pod_groups
        self._owners = owners
        self._layout = layout
        self._reader = reader
        self._history = history
        self._finished = finished

    @property
    def untold(self) -> dict[str, tuple[PartialObject, tuple[Fault, ...]]]:
        """Owners that cannot be understood, by uid, and why; emptied by whoever tells their users."""
        return self._reader.untold

    def put(self, owner: PartialObject, now: float) -> bool:
        """Take in an owner; tells whether that matters to a pod."""
        self._history.heed_owner(owner)
        if not self._owners.put(owner):
            return False
        self._reader.forget_owner(owner.metadata.uid)
        self._finished.place_again(owner.metadata.uid, lambda pod: self._reader.place(pod, None))
        return self._layout.regroup(self._owners.concerned(owner), now) | self._pod_groups.concerns(owner)

    def drop(self, uid: str) -> bool:
        """Forget an owner."""
        if (owner := self._owners.objects.get(uid)) is not None:
            self._history.checkpoints.drop_owner(owner)
            self._reader.forget_owner(uid)
        return self._owners.drop(uid)

    def settle(self, kind: KindName, *, served: bool, now: float) -> bool:
        """Objects of a kind are followed from now on, or cannot be: then references are taken at their word."""
        return self._owners.kinds.settle(kind, served=served) and self._layout.regroup_all(now)

    def settle_pod(self, uid: str, *, exists: bool, now: float) -> bool:
        """A pod that owns pods was asked for."""
        self._owners.kinds.settle_pod(uid, exists=exists)
        return self._layout.regroup(self._owners.below(uid), now)

    def regroup(self, now: float) -> bool:
        """The rules of grouping have changed."""
        return self._layout.regroup_all(now)
