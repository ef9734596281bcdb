"""Takes back devices that we have allocated and nobody uses: after a crash, or a write that could not be undone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from kai_py.cluster.claim_objects import Name
from kai_py.cluster.store import Store
from kai_py.core.tables.pods import PodKey, PodState
from kai_py.operators.claims import ClaimKeeper
from kai_py.operators.sweeping import Suspects, Sweeper

_log = structlog.get_logger()

#: How often to look, in seconds. What was unused the last time too is taken back: cycles had their chance to use it.
EVERY: Final = 5.0

_WAITING: Final = (PodState.PENDING, PodState.GATED)


class UnusedClaims(Sweeper):
    """Looks now and then for claims of ours that are reserved for nobody, or only for pods that wait.

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
        pods = claim.status.reserved_for if claim is not None else ()
        for pod in pods:
            if await self._node_of(name[0], pod.name, pod.uid):
                return
        if name not in set(self._store.claims.unused(self._waits)):
            return
        await self._keeper.give_back(name, frozenset(pod.uid for pod in pods))
        _log.info("devices taken back that nobody used", claim="/".join(name))
        self._wake()

    def _waits(self, key: PodKey) -> bool:
        """Whether a pod waits, and nothing is on its way for it."""
        facts = self._store.pods.facts.get(key)
        return facts is not None and facts.state in _WAITING and self._store.assumptions.get(key) is None
