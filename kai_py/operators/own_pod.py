"""What the scheduler says about itself at its own pod: whether the settings that it was given are in force.

An Event is gone after an hour, and a metric does not say which field is wrong. A condition stays for as long as it
holds, at each replica, and ``kubectl wait`` waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from kai_py.errors import ApiError, Fault, ForbiddenError, NotFoundError
from kai_py.kube.client import STRATEGIC_MERGE_PATCH, ApiClient
from kai_py.kube.pods import PodCondition
from kai_py.operators.kinds import PODS
from kai_py.telemetry.conditions import clipped

_log = structlog.get_logger()

SETTINGS_ACCEPTED: Final = "kai.scheduler/SettingsAccepted"
#: Pause before a write is tried again that the server did not answer; seconds.
RETRY: Final = 5.0
_MAX_MESSAGE: Final = 8192


class OwnPod:
    """Keeps the condition of the pod that we run in.

    Args:
        client: the API server. Whoever stands by says it, too: its own settings are meant.
        place: namespace and name of the pod.
        clock: seconds since the epoch.
    """

    def __init__(self, client: ApiClient, place: tuple[str, str], clock: Callable[[], float]) -> None:
        self._client = client
        self._path = PODS.path(*place, "status")
        self._clock = clock
        self._faults: Sequence[Fault] | None = None
        self._news = asyncio.Event()

    def say(self, faults: Sequence[Fault]) -> None:
        """These are the faults of the settings; none = they are in force."""
        if faults != self._faults:
            self._faults = faults
            self._news.set()

    async def run(self) -> None:
        """Write what there is to say, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._write(condition_of(self._faults or (), self._clock()))
            except (NotFoundError, ForbiddenError) as error:
                _log.warning("the own pod cannot be written, its condition is not kept", error=str(error))
            except ApiError as error:
                _log.warning("condition of the own pod not written, trying again", error=str(error))
                await asyncio.sleep(RETRY)
                self._news.set()

    async def _write(self, condition: PodCondition) -> None:
        patch = {"status": {"conditions": [condition.document()]}}
        await self._client.patch(self._path, patch, content_type=STRATEGIC_MERGE_PATCH)


def condition_of(faults: Sequence[Fault], now: float) -> PodCondition:
    """Whether the settings are in force, and if not, all their faults."""
    at = datetime.fromtimestamp(now, UTC)
    if not faults:
        return PodCondition(SETTINGS_ACCEPTED, "True", "SettingsAccepted", "", transitioned_at=at)
    words = "; ".join(f"{fault.field}: {fault.message}" if fault.field else fault.message for fault in faults)
    message = clipped(f"The last good settings stay in force: {words}", _MAX_MESSAGE)
    return PodCondition(SETTINGS_ACCEPTED, "False", "InvalidSettings", message, transitioned_at=at)
