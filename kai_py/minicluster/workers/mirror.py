"""What a worker remembers of one kind: as little of each object as it needs, kept up to date by a watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from kai_py.minicluster.storage import Storage

Object = dict[str, Any]
Key = tuple[str, str]

#: Events taken before other tasks get a turn.
_BATCH: Final = 100


class Seen(Protocol):
    """What a view of an object must at least hold. A revision should not count in comparisons."""

    @property
    def uid(self) -> str:
        """``metadata.uid``."""
        ...

    @property
    def revision(self) -> int:
        """``metadata.resourceVersion`` as a number."""
        ...


View = TypeVar("View", bound=Seen)


class Mirror(Generic[View]):
    """Views of all objects of a kind by (namespace, name).

    Attributes:
        views: what is known now. Only the mirror writes it.
    """

    def __init__(
        self,
        kind: str,
        view: Callable[[Object], View | None],
        changed: Callable[[Key, View | None, View | None], None],
        *,
        fields: str = "",
    ) -> None:
        """Prepare.

        Args:
            kind: as :class:`Storage` names it.
            view: what to remember of an object; None for one that is of no interest.
            changed: told the view before and after, of which one may be None; not told when they are equal. An object
                that was deleted and made again under its name is told as two changes.
            fields: selector of the objects to look at.
        """
        self._kind = kind
        self._view = view
        self._changed = changed
        self._fields = fields
        self.views: dict[Key, View] = {}

    def learn(self, obj: Object) -> None:
        """Take in an object's state: from an event, or at once from the answer to a write of one's own."""
        key = _key_of(obj)
        known = self.views.get(key)
        # What we wrote ourselves is known before its event arrives; the events until then are older.
        if known is not None and int(obj["metadata"]["resourceVersion"]) < known.revision:
            return
        view = self._view(obj)
        if known is not None and view is not None and known.uid != view.uid:
            self._set(key, known, None)
            known = None
        self._set(key, known, view)

    def forget(self, obj: Object) -> None:
        """Take in that an object is gone."""
        key = _key_of(obj)
        known = self.views.get(key)
        if known is not None and int(obj["metadata"]["resourceVersion"]) >= known.revision:
            self._set(key, known, None)

    async def run(self, storage: Storage) -> None:
        """Follow the kind until cancelled."""
        while True:
            taken = 0
            async for event in storage.watch(self._kind, fields=self._fields):
                if event.type == "DELETED":
                    self.forget(event.object)
                else:
                    self.learn(event.object)
                taken += 1
                if taken % _BATCH == 0:
                    await asyncio.sleep(0)
            # The watch ended: we fell too far behind. The next one begins with all that exists, so what is left to
            # find out is what went meanwhile.
            for key, view in list(self.views.items()):
                if storage.find(self._kind, key[1], key[0]) is None:
                    self._set(key, view, None)

    def _set(self, key: Key, before: View | None, after: View | None) -> None:
        if after is None:
            self.views.pop(key, None)
        else:
            self.views[key] = after
        if before != after:
            self._changed(key, before, after)


def _key_of(obj: Object) -> Key:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]
