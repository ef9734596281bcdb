"""Writes the PodGroup objects of gangs that nobody has written one for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from kai_py.api.podgroup import PodGroup
from kai_py.cluster.store import Store
from kai_py.errors import ApiError, ConflictError, InvalidError, LeaseLostError, NotFoundError
from kai_py.kube.writer import Writer
from kai_py.operators.kinds import PODGROUPS
from kai_py.podgrouper.manifest import changes, written_manifest
from kai_py.podgrouper.membership import Group

_log = structlog.get_logger()

#: How often to look; membership is in memory at once, so nothing waits for the object. Seconds.
EVERY: Final = 0.5
#: Pause before an object that could not be written is tried again; seconds.
RETRY: Final = 10.0


class PodGroupWriter:
    """Keeps one PodGroup object per gang of more than one pod, as its workload is now; pods are left as they are."""

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
            for derived, podgroup in self._store.groups.rederived():
                assert isinstance(derived, Group)
                await self._follow(derived, podgroup)

    async def _follow(self, group: Group, podgroup: PodGroup) -> None:
        """Write what the workload says anew: its scale, priority, queue or minimum has changed."""
        if (patch := changes(group, podgroup)) is None:
            return
        name = podgroup.metadata.key
        try:
            await self._writer.merge(PODGROUPS, *name, patch)
        except LeaseLostError:
            self._store.groups.compare_again(name)
        except InvalidError as error:
            _log.error("change of podgroup refused", podgroup="/".join(name), error=str(error))
        except NotFoundError:
            pass  # it was deleted; it will be written anew if it is needed
        except ApiError as error:
            self._store.groups.compare_again(name)
            _log.warning("podgroup not changed", podgroup="/".join(name), error=str(error))
        else:
            _log.info("podgroup changed", podgroup="/".join(name), fields=sorted(patch["spec"]))

    async def _write(self, group: Group) -> None:
        try:
            await self._writer.create(PODGROUPS, written_manifest(group))
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
