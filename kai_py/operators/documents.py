"""Follows single ConfigMaps by their names, so that nobody has to let us read all of a cluster's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from kai_py.api.configmap import ConfigMap
from kai_py.errors import Fault
from kai_py.kube.client import ApiClient
from kai_py.kube.reflector import Reflector
from kai_py.kube.resource import ResourceKind
from kai_py.kube.wire import EventType
from kai_py.operators.kinds import CONFIG_MAPS
from kai_py.settings.workloads import ConfigMapName
from kai_py.telemetry.events import EventText, Regarding

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


class Followed:
    """Watches a ConfigMap that settings name, and another one when they name another.

    Args:
        client: the API server.
        spawn: starts a task that is looked after.
        changed: as of a :class:`ConfigMapWatch`.
    """

    def __init__(self, client: ApiClient, spawn: Spawn, changed: Callable[[ConfigMap | None], None]) -> None:
        self._client = client
        self._spawn = spawn
        self._changed = changed
        self._where: ConfigMapName | None = None
        self._task: asyncio.Task[object] | None = None

    def follow(self, where: ConfigMapName | None) -> None:
        """Watch this ConfigMap from now on, and no other; None is none."""
        if where == self._where:
            return
        self._where = where
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if where is not None:
            watch = ConfigMapWatch(self._client, where.namespace, where.name, self._changed)
            self._task = self._spawn(watch.run(), "watch default priorities")


def settings_event(about: Regarding, faults: Sequence[Fault]) -> EventText:
    """What to tell about the settings: all faults at once, or that they are in force again."""
    if not faults:
        return EventText(about, "Normal", "SettingsAccepted", "Loading", "The settings are in force.")
    words = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
    note = f"Refused, the last good settings stay in force: {words}"
    return EventText(about, "Warning", "InvalidSettings", "Loading", note)
