"""The last good settings outlive the process: who is started while the present ones are refused begins with them.

Without that, a restart at the wrong moment would mean defaults: other fairness, and evictions that ask no budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from kai_py.api.configmap import ConfigMap
from kai_py.api.decode import decode
from kai_py.errors import (
    ApiError,
    ForbiddenError,
    LeaseLostError,
    MalformedObjectError,
    NotFoundError,
    SettingsError,
)
from kai_py.kube.client import ApiClient
from kai_py.kube.writer import Writer
from kai_py.operators.config_maps import put_config_map
from kai_py.operators.kinds import CONFIG_MAPS
from kai_py.operators.settings import KEY, LiveSettings
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings

_log = structlog.get_logger()

#: The ConfigMap beside the one with the settings; its key is the same.
NAME: Final = "kai-py-last-settings"
#: How often to look whether there is anything to write, in seconds.
TURN: Final = 1.0
#: Pause after a write that failed, in seconds.
RETRY: Final = 10.0


class LastSettings:
    """Writes the settings that were accepted last, while we lead.

    Args:
        client: to read with.
        writer: to write with; its fence keeps all but the leader from it.
        settings: tells which were accepted.
        namespace: of the ConfigMap.
        leading: whether we may write.
    """

    def __init__(
        self, client: ApiClient, writer: Writer, settings: LiveSettings, namespace: str, leading: Callable[[], bool]
    ) -> None:
        self._client = client
        self._writer = writer
        self._settings = settings
        self._namespace = namespace
        self._leading = leading
        self._written: str | None = None

    async def run(self) -> None:
        """Write what is new, until cancelled."""
        while True:
            pause = TURN
            if not self._leading():
                self._written = None  # whoever leads meanwhile may write
            elif (text := self._settings.accepted) is not None and text != self._written:
                pause = await self._write(text)
            await asyncio.sleep(pause)

    async def _write(self, text: str) -> float:
        """Tells how long to pause."""
        try:
            await put_config_map(self._client, self._writer, self._namespace, NAME, {KEY: text})
        except (ApiError, LeaseLostError) as error:
            _log.warning("the last good settings are not kept, trying again", error=str(error))
            return RETRY
        self._written = text
        return TURN


async def read_last(client: ApiClient, namespace: str) -> Settings | None:
    """The settings that were accepted last; None if nobody knows, or they cannot be read (any more).

    Raises:
        ApiError: the server does not answer.
    """
    try:
        found = decode(ConfigMap, await client.get(CONFIG_MAPS.path(namespace, NAME)))
        return load_settings(found.data[KEY], where=f"ConfigMap {namespace}/{NAME}")
    except (NotFoundError, ForbiddenError, MalformedObjectError, SettingsError, KeyError) as error:
        _log.warning("there are no last good settings", error=str(error))
        return None
