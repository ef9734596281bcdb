"""``kai-py queues --watch``: the rows of queues, again whenever one changes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from kai_py.api.meta import PartialObject
from kai_py.cli.asking import scheduler_names
from kai_py.cli.output import WideOutput, print_document, print_plain
from kai_py.cli.queue_rows import queue_items, queue_table
from kai_py.kube.client import ApiClient
from kai_py.kube.listing import list_all
from kai_py.kube.reflector import Reflector
from kai_py.kube.resource import ResourceKind
from kai_py.kube.wire import EventType
from kai_py.operators.kinds import OWNERS, PODGROUPS, PODS, QUEUES
from kai_py.telemetry.why_waiting import waiters

Json = dict[str, Any]


class Whole(PartialObject, frozen=True):
    """An object with everything that is shown of it."""

    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)


def _whole(kind: ResourceKind[Any], *, namespaced: bool = True) -> ResourceKind[Whole]:
    return ResourceKind(kind.group, kind.version, kind.plural, Whole, namespaced=namespaced)


_WATCHED_QUEUES = _whole(QUEUES, namespaced=False)
_SHOWN: tuple[ResourceKind[Any], ...] = (PODGROUPS, PODS, *OWNERS)
_WATCHED = tuple(_whole(kind) for kind in _SHOWN)


class Mirror:
    """What the server has, kept up to date by reflectors; tells when something changed.

    Args:
        names: what pods of the scheduler name in ``spec.schedulerName``.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.changed = asyncio.Event()
        self._names = names
        self._objects: dict[str, dict[tuple[str, str], Whole]] = {
            kind.plural: {} for kind in (_WATCHED_QUEUES, *_WATCHED)
        }

    def replace(self, resource: ResourceKind[Whole], objects: Sequence[Whole], _: AbstractSet[tuple[str, str]]) -> None:
        """These are all objects of a kind."""
        self._objects[resource.plural] = {one.metadata.key: one for one in objects}
        self.changed.set()

    def apply(self, resource: ResourceKind[Whole], events: Sequence[tuple[EventType, Whole]]) -> None:
        """This has happened since."""
        known = self._objects[resource.plural]
        for event, one in events:
            if event == "DELETED":
                known.pop(one.metadata.key, None)
            else:
                known[one.metadata.key] = one
        self.changed.set()

    def items(self) -> list[Json]:
        """All queues, as ``queue_items`` tells of them."""
        owners = {one.metadata.uid: one for kind in OWNERS for one in self._objects[kind.plural].values()}
        pods = (msgspec.to_builtins(one) for one in self._objects[PODS.plural].values() if _may_wait(one))
        waiting = waiters(self._plain(PODGROUPS.plural), pods, owners, scheduler_names=self._names)
        return queue_items(self._plain(QUEUES.plural), waiting)

    def _plain(self, plural: str) -> list[Json]:
        return [msgspec.to_builtins(one) for one in self._objects[plural].values()]


def _may_wait(pod: Whole) -> bool:
    """Most pods have a node, and need not be looked at more closely."""
    return not pod.spec.get("nodeName")


async def follow(client: ApiClient, output: WideOutput, *, headers: bool) -> None:
    """Print every queue, then each one again that changes, until cancelled."""
    await list_all(client, QUEUES)  # a server that does not answer at first is an error; later it is waited for
    mirror = Mirror(await scheduler_names(client))
    reflectors = [
        Reflector(client, _WATCHED_QUEUES, mirror),
        *(Reflector(client, kind, mirror, optional=True) for kind in _WATCHED),
    ]
    async with asyncio.TaskGroup() as tasks:
        for reflector in reflectors:
            tasks.create_task(reflector.run())
        for reflector in reflectors:
            await reflector.synced.wait()
        shown: dict[str, Json] = {}
        while True:
            mirror.changed.clear()
            items = {item["name"]: item for item in mirror.items()}
            news = [item for name, item in items.items() if shown.get(name) != item]
            _print(news, output, headers=headers and not shown)
            sys.stdout.flush()  # whoever reads a pipe waits for this row
            shown = items
            await mirror.changed.wait()


def _print(items: list[Json], output: WideOutput, *, headers: bool) -> None:
    if output in (WideOutput.JSON, WideOutput.YAML):
        for item in items:
            if output is WideOutput.YAML:
                print("---")
            print_document({"apiVersion": "kai-py/v1", "kind": "Queue", **item}, output)
        return
    table = queue_table(items, wide=output is WideOutput.WIDE)
    if table.rows:
        print_plain(table.rows, table.columns if headers else ())
