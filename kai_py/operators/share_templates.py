"""Makes the templates from which pods get claims on parts of GPUs, and takes away those that no pod names any more.

A template's name follows from what is asked for, and its content from that and from the devices that there are. So a
process that dies between any two writes leaves nothing that the next one would not have made, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import structlog

from kai_py.api.decode import convert
from kai_py.api.keys import SHARE_CONTENT_ANNOTATION, SHARE_TEMPLATE_LABEL
from kai_py.api.resource import DeviceClaim, ResourceClaimTemplate
from kai_py.cluster.claim_objects import Name
from kai_py.cluster.shares.template import claim_metadata, content_of, covers, template_of
from kai_py.cluster.store import Store
from kai_py.errors import ApiError, ConflictError, MalformedObjectError
from kai_py.kube.claims import CLAIMS
from kai_py.kube.client import ApiClient
from kai_py.kube.listing import list_all
from kai_py.kube.resource import ResourceKind
from kai_py.kube.writer import Writer
from kai_py.operators.sweeping import Suspects, Sweeper

_log = structlog.get_logger()

#: Listed and written here alone, and nowhere watched.
CLAIM_TEMPLATES: Final = ResourceKind(CLAIMS.group, CLAIMS.version, "resourceclaimtemplates", ResourceClaimTemplate)
#: How often to look, in seconds, where nothing calls for it.
EVERY: Final = 5.0
#: After a call, so many seconds pass until we look: pods come in bursts.
BURST: Final = 0.05
#: A template that no pod names is kept for so many looks, about a minute: pods of a workload come one after another.
KEPT: Final = 12


class ShareTemplates(Sweeper):
    """Keeps templates in step with the pods that name them.

    Args:
        store: the memory.
        client: to list templates of ours.
        writer: the door to the API server.
        leading: whether we may write.
        wake: called when a pod waits for another reason than before.
    """

    def __init__(
        self,
        store: Store,
        client: ApiClient,
        writer: Writer,
        *,
        leading: Callable[[], bool],
        wake: Callable[[], None],
    ) -> None:
        super().__init__(EVERY, leading)
        self._store = store
        self._book = store.claims.shares
        self._client = client
        self._writer = writer
        self._wake = wake
        self._maker = store.reservations.maker
        self._called = asyncio.Event()
        #: Whether a pod called for this look: such ones are no measure of time.
        self._woken = False
        self._book.lacking = self._called.set
        #: Templates that no pod names -> at how many looks they were seen so.
        self._idle: dict[Name, int] = {}
        self._gone = Suspects[Name]()
        #: Whether there may be templates of ours that no pod names.
        self._left = True

    async def pause(self) -> None:
        """Until a pod calls for a template, or a while has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._every):
                await self._called.wait()
                await asyncio.sleep(BURST)
        self._woken = self._called.is_set()
        self._called.clear()

    def forget(self) -> None:
        """See :meth:`Sweeper.forget`."""
        self._idle.clear()
        self._gone.clear()
        self._book.known.clear()
        self._left = True

    async def look(self) -> None:
        """Make what is missing, make anew what has become wrong, and take away what has not been named for long."""
        # Where GPUs are not shared by claims, nobody gives us the right to look whether something was left.
        if not (self._book.used or (self._left and self._book.ways.offers("claims"))):
            return
        try:
            found = await self._templates()
        except ApiError as error:
            _log.warning("templates for parts of GPUs not read", why=str(error))
            self._left = bool(self._book.used)  # where nobody needs them, we need not be allowed to
            return
        wanted = self._book.wanted()
        self._book.known = set(found)
        missing = self._gone.again(self._missing(wanted))
        for name, claim in wanted.items():
            await self._one(name, self._keep(name, claim, found.get(name), missing))
        unnamed = found.keys() - self._book.used
        self._idle = {name: self._idle.get(name, 0) + (not self._woken) for name in unnamed}
        for name in sorted(name for name in unnamed if self._idle[name] > KEPT):
            await self._one(name, self._remove(name))
        self._left = bool(unnamed or self._book.used)

    async def _one(self, name: Name, work: Any) -> None:
        await self.isolated(work, "template for parts of GPUs not kept", template="/".join(name))

    async def _templates(self) -> dict[Name, Mapping[str, Any]]:
        """All templates of ours."""
        selector = f"{SHARE_TEMPLATE_LABEL}={self._maker}"
        found = await list_all(self._client, CLAIM_TEMPLATES, labelSelector=selector)
        return {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in found}

    async def _keep(
        self, name: Name, claim: DeviceClaim, found: Mapping[str, Any] | None, missing: frozenset[Name]
    ) -> None:
        """Make a template, or make it anew: its content cannot be changed. Then have claims follow."""
        if found is not None:
            content = (found["metadata"].get("annotations") or {}).get(SHARE_CONTENT_ANNOTATION, "")
            made = claim if content == content_of(claim) else _claim_in(found)
            if made is not None and covers(made, claim):
                await self._renew_claims(name, made, content, missing)
                return
            await self._writer.remove(CLAIM_TEMPLATES, *name)
        await self._make(name, claim)

    async def _make(self, name: Name, claim: DeviceClaim) -> None:
        try:
            await self._writer.create(CLAIM_TEMPLATES, template_of(name, claim, self._maker))
            _log.info("template made for parts of GPUs", template="/".join(name))
        except ConflictError:
            pass  # ours after a lost answer, or somebody else's, which is used as it is
        except ApiError as error:
            if self._book.refused.get(name) != str(error):
                self._book.refused[name] = str(error)
                self._wake()
            raise
        if self._book.refused.pop(name, None) is not None:
            self._wake()
        self._book.known.add(name)

    async def _renew_claims(self, name: Name, claim: DeviceClaim, content: str, missing: frozenset[Name]) -> None:
        """Make claims anew that say what the template said when there were other devices, or that are gone.

        kube-controller-manager would not: it remembers claims that it has made, and takes them for being there. A claim
        of the same name is what the pod's status names already.
        """
        for key, sharer in self._book.waiting(name):
            if sharer.claim is None or self._store.assumptions.get(key) is not None:
                continue
            old = self._store.claims.objects.by_name.get(sharer.claim)
            if old is None and sharer.claim not in missing:
                continue  # the watch may be behind
            if old is not None:
                made_from = old.metadata.annotations.get(SHARE_CONTENT_ANNOTATION)
                if made_from in (None, content) or old.status.allocation is not None or old.status.reserved_for:
                    continue
                await self._writer.claims.delete(old)
            with suppress(ConflictError):  # somebody else was faster
                await self._writer.claims.create(key.namespace, claim_metadata(sharer.claim, key, content), claim)
            _log.info("claim on a part of a GPU made anew", claim="/".join(sharer.claim), pod=str(key))

    def _missing(self, names: Iterable[Name]) -> Iterator[Name]:
        """Claims that pods wait with, by their status, and that are not there."""
        for name in names:
            for _, sharer in self._book.waiting(name):
                if sharer.claim is not None and sharer.claim not in self._store.claims.objects.by_name:
                    yield sharer.claim

    async def _remove(self, name: Name) -> None:
        """Take a template away, unless a pod has come that names it."""
        if name in self._book.used:
            return
        self._book.known.discard(name)
        await self._writer.remove(CLAIM_TEMPLATES, *name)
        _log.info("template for parts of GPUs taken away", template="/".join(name))


def _claim_in(template: Mapping[str, Any]) -> DeviceClaim | None:
    """What claims of a template say; None if it cannot be read."""
    try:
        return convert(ResourceClaimTemplate, template).spec.spec.devices
    except MalformedObjectError:
        return None
