"""Which kinds of owners are followed: of those, an owner that is not known is on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

from kai_py.api.meta import OwnerReference

#: API group and kind.
KindName = tuple[str, str]
#: A pod that owns pods: (namespace, name, uid).
OwnerPod = tuple[str, str, str]

_POD: KindName = ("", "Pod")
#: So many pods that were asked for in vain are remembered; others are asked for again.
REMEMBERED: Final = 10_000


class Standing(Enum):
    """What is known about a kind, or about a single pod as an owner."""

    ASKED = "asked"
    FOLLOWED = "followed"
    ABSENT = "absent"


class OwnerKinds:
    """What is followed, and what is wanted in addition.

    While nobody follows anything (in plans, and before ``run`` says otherwise) no owner is waited for.

    Attributes:
        wanted: kinds that owners of pods have, for whoever follows them to take.
        wanted_pods: pods that own pods, the same. Pods are watched already, but not kept, so that these are asked for.
        on_wanted: called when something is wanted.
    """

    def __init__(self) -> None:
        self.wanted: dict[KindName, None] = {}
        self.wanted_pods: dict[OwnerPod, None] = {}
        self.on_wanted: Callable[[], None] = lambda: None
        self._follows = False
        self._kinds: dict[KindName, Standing] = {}
        self._pods: dict[str, Standing] = {}

    def follow(self, kinds: Iterable[KindName]) -> None:
        """These are followed; others will be when they are wanted."""
        self._follows = True
        self._kinds.update(dict.fromkeys(kinds, Standing.FOLLOWED))

    def settle(self, kind: KindName, *, served: bool) -> bool:
        """A kind is followed, or cannot be; tells whether that is news."""
        standing = Standing.FOLLOWED if served else Standing.ABSENT
        news = self._kinds.get(kind) is not standing
        self._kinds[kind] = standing
        return news

    def settle_pod(self, uid: str, *, exists: bool) -> None:
        """A pod was asked for; one that is gone is not waited for."""
        if exists:
            self._pods.pop(uid, None)
        else:
            if len(self._pods) >= REMEMBERED:
                self._pods.clear()
            self._pods[uid] = Standing.ABSENT

    def expects(self, owner: OwnerReference, namespace: str) -> bool:
        """Whether an owner that is not known will be, or it will be known that there is none."""
        if not self._follows:
            return False
        kind = (owner.group, owner.kind)
        return self._expects_pod(owner, namespace) if kind == _POD else self.want(kind)

    def want(self, kind: KindName) -> bool:
        """Have a kind followed; tells whether its objects are, or may become, known."""
        if not self._follows:
            return False
        if kind not in self._kinds:
            self._kinds[kind] = Standing.ASKED
            self.wanted[kind] = None
            self.on_wanted()
        return self._kinds[kind] is not Standing.ABSENT

    def _expects_pod(self, owner: OwnerReference, namespace: str) -> bool:
        if owner.uid not in self._pods:
            self._pods[owner.uid] = Standing.ASKED
            self.wanted_pods[namespace, owner.name, owner.uid] = None
            self.on_wanted()
        return self._pods[owner.uid] is not Standing.ABSENT
