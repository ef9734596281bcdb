"""Placing claims one after another wherever there is room: what the index and the allocator do together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kai_py.core.dra.allocation import Allocation
from kai_py.core.dra.allocator import Allocator
from kai_py.core.dra.claims import Claim
from kai_py.core.dra.index import DeviceIndex
from kai_py.core.dra.ledger import DeviceLedger


def fill(
    allocator: Allocator, ledger: DeviceLedger, pods: Sequence[Sequence[Claim]]
) -> Iterator[tuple[int, Allocation] | None]:
    """Give every pod's claims devices on the node with the least room for them, and count them as taken.

    Yields:
        Per pod the node and the allocation; None where no node has any.
    """
    index = DeviceIndex(allocator, ledger)
    for claims in pods:
        yield _place(index, allocator, ledger, claims)


def _place(
    index: DeviceIndex, allocator: Allocator, ledger: DeviceLedger, claims: Sequence[Claim]
) -> tuple[int, Allocation] | None:
    count = index.room(claims).count
    while count.any():
        node = int(np.where(count > 0, count, np.iinfo(np.int64).max).argmin())
        found = allocator.allocate(claims, node, ledger)
        if isinstance(found, Allocation):
            ledger.take(found.takes(allocator.inventory))
            return node, found
        count[node] = 0
    return None
