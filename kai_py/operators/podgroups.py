"""Writes the PodGroup objects of gangs that nobody has written one for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from kai_py.cluster.store import Store
from kai_py.errors import ApiError, ConflictError, InvalidError, LeaseLostError
from kai_py.kube.writer import Writer
from kai_py.operators.kinds import PODGROUPS
from kai_py.podgrouper.manifest import manifest_of
from kai_py.podgrouper.membership import Group

_log = structlog.get_logger()

#: How often to look; membership is in memory at once, so nothing waits for the object. Seconds.
EVERY: Final = 0.5
#: Pause before an object that could not be written is tried again; seconds.
RETRY: Final = 10.0


class PodGroupWriter:
    """Keeps one PodGroup object per gang of more than one pod. Nothing is written to the pods."""

    def __init__(self, store: Store, writer: Writer, *, leading: Callable[[], bool]) -> None:
        self._store = store
        self._writer = writer
        self._leading = leading
        self._tried: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Write what is missing, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(EVERY)
            if not self._leading():
                continue
            for group in self._store.groups.unwritten():
                # The store knows its groups by shape; they come from the pod grouper.
                assert isinstance(group, Group)
                name = (group.namespace, group.name)
                if loop.time() - self._tried.get(name, -RETRY) >= RETRY:
                    self._tried[name] = loop.time()
                    await self._write(group)

    async def _write(self, group: Group) -> None:
        try:
            await self._writer.create(PODGROUPS, manifest_of(group))
        except ConflictError:
            pass  # it exists; its watch event is on the way
        except LeaseLostError:
            return
        except InvalidError as error:  # asking again would not help
            self._tried[group.namespace, group.name] = float("inf")
            _log.error("podgroup refused", podgroup=f"{group.namespace}/{group.name}", error=str(error))
        except ApiError as error:
            _log.warning("podgroup not written", podgroup=f"{group.namespace}/{group.name}", error=str(error))
        else:
            _log.info("podgroup written", podgroup=f"{group.namespace}/{group.name}")
