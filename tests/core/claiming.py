"""Clusters with devices: claims are added to a cluster of ``builders``, by names of pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kai_py.core.dra.claims import Claim
from kai_py.core.dra.devices import DeviceId, Slice
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import Take
from kai_py.core.dra.table import Ask, ClaimRow, ClaimTable, Counted, Held
from kai_py.core.resources import DEVICE
from kai_py.core.tables.classes import ClassTable, NodeTerm, Requirement
from kai_py.core.tables.pods import PodState
from kai_py.core.tables.snapshot import Snapshot
from tests.core.builders import GPUS
from tests.core_dra.builders import DRIVER


@dataclass(frozen=True)
class Claimed:
    """A claim of some pods; with ``has``, it holds these devices of the pool of a node."""

    asked: Claim
    pods: Sequence[str]
    has: Sequence[str] = ()
    on: str = ""
    others: int = 0
    leaving: int = 0
    gpus: int = 0


def with_claims(snapshot: Snapshot, slices: Sequence[Slice], claims: Mapping[str, Claimed]) -> Snapshot:
    """The snapshot with claims. The pool of a node is called after it."""
    inventory = Inventory.of(slices, snapshot.nodes)
    names = sorted(claims)
    row_of = {key.name: row for row, key in enumerate(snapshot.pods.keys)}
    rows = tuple(
        ClaimRow(f"ns/{name}", name, one.asked, _held(one, inventory) if one.on else None, one.others, one.leaving)
        for name, one in sorted(claims.items())
    )
    of_pod: dict[int, tuple[int, ...]] = {}
    for number, name in enumerate(names):
        for pod in claims[name].pods:
            of_pod[row_of[pod]] = (*of_pod.get(row_of[pod], ()), number)
    class_idx, made = snapshot.pods.class_idx.copy(), list(snapshot.classes.classes)
    request, accounted = list(snapshot.classes.request), list(snapshot.classes.accounted)
    known: dict[object, int] = {}
    of_class: dict[int, tuple[Ask, ...]] = {}
    for pod, mine in sorted(of_pod.items()):
        waits = snapshot.pods.state[pod] == PodState.PENDING
        asks = tuple(_ask(number, claims[names[number]], waits=waits) for number in mine)
        paid = sum(claims[names[number]].gpus for number in mine if row_of[claims[names[number]].pods[0]] == pod)
        key = class_idx.item(pod), tuple(ask if isinstance(ask, int) else ask.requests for ask in asks), paid
        if key not in known:
            known[key] = len(made)
            made.append(replace(snapshot.classes.classes[key[0]], claims=(key[1],)))
            request.append(snapshot.classes.request[key[0]])
            charged = snapshot.classes.accounted[key[0]].copy()
            charged[GPUS] += paid * DEVICE
            accounted.append(charged)
            of_class[known[key]] = asks
        class_idx[pod] = known[key]
    gpus = frozenset(range(len(inventory.ids)))
    return replace(
        snapshot,
        classes=ClassTable(tuple(made), np.array(request), np.array(accounted)),
        pods=replace(snapshot.pods, class_idx=class_idx),
        claims=ClaimTable(inventory, rows, of_pod, of_class, (Counted(GPUS, DEVICE, gpus, len(gpus)),)),
    )


def _ask(number: int, claimed: Claimed, *, waits: bool) -> Ask:
    alone = len(claimed.pods) == 1 and not claimed.others and not (waits and claimed.on)
    return claimed.asked if alone else number


def _held(claimed: Claimed, inventory: Inventory) -> Held:
    takes = tuple(Take(inventory.row_of_id[DeviceId(DRIVER, claimed.on, name)]) for name in claimed.has)
    return Held(takes, (NodeTerm(names=(Requirement("metadata.name", "In", (claimed.on,)),)),))
