"""Takes back devices that we have allocated and nobody uses: after a crash, or a write that could not be undone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from kai_py.api.resource import Consumer
from kai_py.cluster.claim_objects import Name
from kai_py.cluster.pod_group_claims import is_pod_group
from kai_py.cluster.store import Store
from kai_py.operators.claims import ClaimKeeper
from kai_py.operators.sweeping import Suspects, Sweeper

_log = structlog.get_logger()

#: How often to look, in seconds. What was unused the last time too is taken back: cycles had their chance to use it.
EVERY: Final = 5.0


class UnusedClaims(Sweeper):
    """Looks now and then for claims of ours that are reserved for nobody, or only for pods and PodGroups that wait.

    Args:
        store: the memory.
        keeper: writes claims.
        node_of: asks the server for the node of a pod: the watch may be behind.
        leading: whether we may write.
        wake: called when devices are free again.
    """

    def __init__(
        self,
        store: Store,
        keeper: ClaimKeeper,
        *,
        node_of: Callable[[str, str, str], Awaitable[str]],
        leading: Callable[[], bool],
        wake: Callable[[], None],
    ) -> None:
        super().__init__(EVERY, leading)
        self._node_of = node_of
        self._store = store
        self._keeper = keeper
        self._wake = wake
        self._suspects = Suspects[Name]()
        self._waits = store.decisions.waits

    async def look(self) -> None:
        """Take back what was unused the last time, too."""
        for name in sorted(self._suspects.again(self._store.claims.unused(self._waits))):
            await self.isolated(self._take_back(name), "claim not given back", claim="/".join(name))

    def forget(self) -> None:
        """See :meth:`Sweeper.forget`."""
        self._suspects.clear()

    async def _take_back(self, name: Name) -> None:
        """Take the devices of a claim, unless somebody has come to use it meanwhile."""
        claim = self._store.claims.objects.by_name.get(name)
        consumers = claim.status.reserved_for if claim is not None else ()
        for one in consumers:
            if await self._starts(name, one):
                return
        if name not in set(self._store.claims.unused(self._waits)):
            return
        await self._keeper.give_back(name, frozenset(one.uid for one in consumers))
        _log.info("devices taken back that nobody used", claim="/".join(name))
        self._wake()

    async def _starts(self, name: Name, one: Consumer) -> bool:
        """Whether a pod for which a claim is reserved, or one of such a PodGroup, has a node by now."""
        if not is_pod_group(one):
            return bool(await self._node_of(name[0], one.name, one.uid))
        for key in self._store.claims.pod_groups.waiting(name, one):
            if await self._node_of(*key):
                return True
        return False
