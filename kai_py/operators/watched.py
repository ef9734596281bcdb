"""What the metrics say about the watches and about objects that cannot be understood, read off at a scrape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kai_py.cluster.store import Store
from kai_py.kube.reflector import Reflector
from kai_py.operators.kinds import BUDGETS, CLAIMS, DEVICE_CLASSES, PODGROUPS, QUEUES, SLICES, TOPOLOGIES, ZONES
from kai_py.telemetry.watched import Watched


def watched(reflectors: Iterable[Reflector[Any]], store: Store) -> Iterator[Watched]:
    """One row for each reflector, and one for each kind of which the store looks closer than the decoder.

    Runs in the thread of whoever scrapes, beside the event loop: it reads single numbers only.
    """
    for reflector in reflectors:
        yield Watched(reflector.resource.full_name, reflector.staleness, len(reflector.unreadable))
    classes, claims = store.claims.malformed
    for kind, count in (
        (QUEUES, len(store.queues.malformed)),
        (PODGROUPS, len(store.groups.malformed)),
        (TOPOLOGIES, len(store.topologies.malformed)),
        (BUDGETS, len(store.budgets.faults)),
        (SLICES, len(store.claims.devices.faults)),
        (ZONES, len(store.zones.faults)),
        (DEVICE_CLASSES, classes),
        (CLAIMS, claims),
    ):
        yield Watched(kind.full_name, None, count)
