"""Follows single ConfigMaps by their names, so that nobody has to let us read all of a cluster's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import structlog

from kai_py.api.configmap import ConfigMap
from kai_py.api.decode import decode
from kai_py.errors import Fault, NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.reflector import Reflector
from kai_py.kube.resource import ResourceKind
from kai_py.kube.wire import EventType
from kai_py.operators.kinds import CONFIG_MAPS
from kai_py.podgrouper.defaults import NO_DEFAULTS, PriorityDefaults, read_defaults
from kai_py.settings.model import ConfigMapName
from kai_py.telemetry.events import EventText, Regarding

_log = structlog.get_logger()

_NO_DATA: Final[Mapping[str, str]] = {}

Spawn = Callable[[Coroutine[Any, Any, object], str], asyncio.Task[object]]


class ConfigMapWatch:
    """Watches one ConfigMap. While we may not read it, what was read last holds.

    Args:
        client: the API server.
        namespace: of the ConfigMap.
        name: of the ConfigMap.
        changed: called with the ConfigMap whenever it is another one than before; with None when there is none.
    """

    def __init__(
        self, client: ApiClient, namespace: str, name: str, changed: Callable[[ConfigMap | None], None]
    ) -> None:
        self._changed = changed
        self._seen: str | None = None
        self._reflector = Reflector(
            client, CONFIG_MAPS, self, namespace=namespace, field_selector=f"metadata.name={name}"
        )

    async def run(self) -> None:
        """Watch, until cancelled."""
        await self._reflector.run()

    def replace(
        self,
        resource: ResourceKind[ConfigMap],  # noqa: ARG002  # a sink's signature
        objects: Sequence[ConfigMap],
        unreadable: AbstractSet[tuple[str, str]],
    ) -> None:
        """This is how it is now, or that it is not there."""
        if objects or not unreadable:
            self._tell(objects[0] if objects else None)

    def apply(
        self,
        resource: ResourceKind[ConfigMap],  # noqa: ARG002  # a sink's signature
        events: Sequence[tuple[EventType, ConfigMap]],
    ) -> None:
        """This has happened since."""
        for kind, found in events:
            self._tell(None if kind == "DELETED" else found)

    def _tell(self, found: ConfigMap | None) -> None:
        version = found.metadata.resource_version if found is not None else ""
        if version != self._seen:
            self._seen = version
            self._changed(found)


class DefaultPriorities:
    """The default priorities by kind of workload, from whichever ConfigMap the settings name.

    Args:
        client: the API server.
        spawn: starts a task that is looked after.
        changed: called when they have changed.

    Attributes:
        current: those in force.
    """

    def __init__(self, client: ApiClient, spawn: Spawn, changed: Callable[[], None]) -> None:
        self.current: PriorityDefaults = NO_DEFAULTS
        self._client = client
        self._spawn = spawn
        self._changed = changed
        self._where: ConfigMapName | None = None
        self._watch: asyncio.Task[object] | None = None

    def follow(self, where: ConfigMapName | None) -> None:
        """Watch this ConfigMap from now on, and no other; None is none."""
        if where == self._where:
            return
        self._where = where
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if where is None:
            self._take(None)
            return
        watch = ConfigMapWatch(self._client, where.namespace, where.name, self._take)
        self._watch = self._spawn(watch.run(), "watch default priorities")

    async def read(self, where: ConfigMapName | None) -> None:
        """Read them at once: what is grouped first should be grouped by them.

        Raises:
            ApiError: the server does not answer, or refuses.
        """
        if where is not None:
            try:
                found = await self._client.get(CONFIG_MAPS.path(where.namespace, where.name))
            except NotFoundError:
                self._take(None)
            else:
                self._take(decode(ConfigMap, found))

    def _take(self, found: ConfigMap | None) -> None:
        defaults, wrong = read_defaults(found.data if found is not None else _NO_DATA)
        if defaults != self.current:
            self.current = defaults
            for text in wrong:
                _log.warning("default priorities passed over", why=text)
            self._changed()


def settings_event(about: Regarding, faults: Sequence[Fault]) -> EventText:
    """What to tell about the settings: all faults at once, or that they are in force again."""
    if not faults:
        return EventText(about, "Normal", "SettingsAccepted", "Loading", "The settings are in force.")
    words = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
    note = f"Refused, the last good settings stay in force: {words}"
    return EventText(about, "Warning", "InvalidSettings", "Loading", note)
