"""What the webhooks know of the cluster, and what they ask before they refuse."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from kai_py.admission import podgroups, pods, queues, settings, shared_gpus
from kai_py.admission.verdict import LET_IN, Known, Request, Verdict
from kai_py.api.queue import Queue
from kai_py.cluster.access import path
from kai_py.cluster.shares.ways import Ways
from kai_py.errors import ApiError, InputError, NotFoundError, SettingsError
from kai_py.kube.client import ApiClient
from kai_py.kube.listing import list_all
from kai_py.operators.access import QueueReviews, may_use
from kai_py.operators.kinds import CONFIG_MAPS, DEVICE_CLASSES, NAMESPACES, QUEUES
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings

_log = structlog.get_logger()

Decide = Callable[[Request, Known], Verdict]
#: How long the API server may take to answer a question of ours, in seconds: it waits for our own answer itself.
REQUEST_SECONDS: Final = 1.0
#: How often the settings are read.
SETTINGS_SECONDS: Final = 10.0


class Gatekeeper:
    """What the handlers share: what is known of the cluster, and who keeps it up to date.

    Args:
        client: the API server.
        configmap: (namespace, name) of the settings.
    """

    def __init__(self, client: ApiClient, configmap: tuple[str, str]) -> None:
        self.client = client
        self.configmap = configmap
        self.known = Known()
        #: Of queues: uid and version as they were read last.
        self._versions: dict[str, tuple[str, str]] = {}
        self.reviews = QueueReviews(client, self.known.access, lambda: None)

    async def fill(self) -> None:
        """Read all queues, namespaces and the settings, before the first question.

        Raises:
            ApiError: the server does not answer, or refuses.
        """
        await self._read_queues()
        for body in await list_all(self.client, NAMESPACES):
            self.put_namespace(body)
        await self._read_settings()
        await self._read_classes()

    async def follow_settings(self) -> None:
        """Read the settings now and then, until cancelled: a watch would need the right to read every ConfigMap."""
        while True:
            await asyncio.sleep(SETTINGS_SECONDS)
            try:
                await self._read_settings()
            except ApiError as error:
                _log.warning("settings not read", error=str(error))
            await self._read_classes()

    async def _read_settings(self) -> None:
        try:
            found = await self.client.get_object(CONFIG_MAPS.path(*self.configmap))
        except NotFoundError:
            found = {}
        self.put_settings(found.get("data") or {})

    async def _read_classes(self) -> None:
        """Which DeviceClasses there are, where pods may be given claims on devices of one."""
        if not Ways.of(self.known.settings).offers("claims"):
            return
        try:
            found = await list_all(self.client, DEVICE_CLASSES)
        except ApiError as error:  # nobody is warned then
            _log.warning("DeviceClasses not read", error=str(error))
            self.known.device_classes = None
        else:
            self.known.device_classes = frozenset(one["metadata"]["name"] for one in found)

    async def _read_queues(self) -> None:
        found = await list_all(self.client, QUEUES)
        for body in found:
            self.put_queue(body)
        for gone in self.known.queues.queues.keys() - {body["metadata"]["name"] for body in found}:
            self.drop_queue(gone)

    def put_queue(self, body: dict[str, Any]) -> None:
        """A queue is as it is told. Most of what is told is known: to understand a queue costs more than a review."""
        meta = body["metadata"]
        version = (str(meta.get("uid", "")), str(meta.get("resourceVersion", "")))
        if all(version) and self._versions.get(meta["name"]) == version:
            return
        self._versions[meta["name"]] = version
        try:
            self.known.queues.put(Queue.parse(body))
        except InputError as error:
            self.known.queues.put_malformed(str(body["metadata"]["name"]), error.faults[0])

    def drop_queue(self, name: str) -> None:
        """A queue is gone."""
        self._versions.pop(name, None)
        self.known.queues.drop(name)

    def put_namespace(self, body: dict[str, Any]) -> None:
        """A namespace is as it is told."""
        meta = body["metadata"]
        self.known.namespaces.put(meta["name"], dict(meta.get("labels") or {}))

    def put_settings(self, data: dict[str, Any]) -> None:
        """The settings are as they are told; if they cannot be read, the last good ones hold."""
        try:
            found = load_settings(str(data.get(settings.KEY, "")))
        except SettingsError as error:
            _log.warning("settings refused", error=str(error))
            return
        self.known.settings = found
        self.known.access.review(wanted=_asks(found))

    async def answer(self, decide: Decide, request: Request) -> Verdict:
        """Decide; whatever goes wrong on our side lets the object in, because scheduling looks again.

        A watch is a moment behind whoever applies a whole folder. So the tree of queues is read before it is changed,
        and nobody is refused a queue by what was known before the request came.
        """
        try:
            if decide is queues.decide and not request.same_spec:
                await self._ask(self._read_queues())
            verdict = decide(request, self.known)
            queue = _QUEUE_OF[decide](request) if decide in _QUEUE_OF else ""
            if queue and (verdict != LET_IN or self._unreviewed(queue, request.namespace)):
                await self._ask(self._read_again(queue, request.namespace))
                verdict = decide(request, self.known)
        except Exception:  # the edge: our own mistake must never keep anybody from working
            _log.exception("not decided, let in", object=request.name, namespace=request.namespace)
            return Verdict(warnings=("kai-py could not check this object; see its log",))
        return verdict

    def prepared(self, request: Request, token: str) -> dict[str, Any] | None:
        """How a pod must be changed to share a GPU; None if it need not, or where we stumble."""
        try:
            return shared_gpus.prepared(request.new, self.known, token)
        except Exception:  # the edge: our own mistake must never keep anybody from working
            _log.exception("not prepared", object=request.name, namespace=request.namespace)
            return None

    async def _ask(self, question: Awaitable[None]) -> None:
        """Ask the API server something; without an answer in time, what is known has to do."""
        with contextlib.suppress(ApiError, TimeoutError):
            async with asyncio.timeout(REQUEST_SECONDS):
                await question

    async def _read_again(self, queue: str, namespace: str) -> None:
        """The queues, a namespace and, where settings say so, its rights, as they are at this moment."""
        if self.known.queue(queue) is None:
            await self._read_queues()
        else:
            for name in list(path(self.known.queues.queues, queue)):
                self.put_queue(await self.client.get_object(QUEUES.path("", name)))
        self.put_namespace(await self.client.get_object(NAMESPACES.path("", namespace)))
        access = self.known.access
        if access.reviewing:
            access.settle({**access.reviews, (queue, namespace): await may_use(self.client, queue, namespace)})

    def _unreviewed(self, queue: str, namespace: str) -> bool:
        access = self.known.access
        return access.reviewing and (queue, namespace) not in access.reviews


#: What names the queue that a namespace must be allowed to use.
_QUEUE_OF: Final[dict[Decide, Callable[[Request], str]]] = {
    pods.decide: pods.queue_of,
    podgroups.decide: lambda request: podgroups.queue_of(request.new),
}


def _asks(found: Settings) -> bool:
    return found.queues.authorization == "subjectAccessReview"
