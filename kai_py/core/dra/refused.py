"""Where claims were searched for in vain: nodes that need not be searched again before something changes there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from kai_py.core.dra.claims import Claim
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.refusal import RefusalCode
from kai_py.core.resources import Mask

#: All that a search for claims depends on beside the node. Names of claims are not part of it.
_Kind = tuple[object, ...]
#: All that is taken of what a node sees.
_State = tuple[object, ...]
_Known = dict[int, tuple[_State, RefusalCode]]
#: So many kinds of claims are remembered.
_REMEMBERED: Final = 256


class RefusalMemory:
    """What searches found out in vain, across snapshots: most nodes are as they were in the cycle before.

    A memory and nothing else: without it the same nodes are searched with the same result, until the time of a cycle
    is used up.
    """

    def __init__(self) -> None:
        self._inventory: Inventory | None = None
        self._known: dict[_Kind, _Known] = {}

    def of(self, inventory: Inventory, kind: _Kind) -> _Known:
        """Node -> what was taken of its devices when they did not do, and why; of the last inventory only."""
        if inventory is not self._inventory or len(self._known) >= _REMEMBERED:
            self._inventory, self._known = inventory, {}
        return self._known.setdefault(kind, {})


class Refused:
    """Nodes that have refused claims, as a ledger changes: what changes on a node opens it again.

    Args:
        inventory: the devices.
        ledger: what is taken of them.
        memory: what was found out in earlier snapshots.
    """

    def __init__(self, inventory: Inventory, ledger: DeviceLedger, memory: RefusalMemory) -> None:
        self._inventory = inventory
        self._ledger = ledger
        self._memory = memory
        self._kinds: dict[_Kind, _Nodes] = {}

    def note(self, claims: Sequence[Claim], node: int, code: RefusalCode) -> None:
        """A node has no devices for claims."""
        self._of(claims).note(node, code)

    def nodes(self, claims: Sequence[Claim]) -> Mask | None:
        """``(N,)`` nodes that are known to have no devices for claims; None = none is."""
        found = self._of(claims)
        return found.mask if found.codes else None

    def code(self, claims: Sequence[Claim], node: int) -> RefusalCode | None:
        """Why a node has refused claims, if it has."""
        return self._of(claims).codes.get(node)

    def _of(self, claims: Sequence[Claim]) -> _Nodes:
        kind = tuple((claim.requests, claim.constraints, claim.config) for claim in claims)
        found = self._kinds.get(kind)
        if found is None:
            known = self._memory.of(self._inventory, kind)
            found = self._kinds[kind] = _Nodes(self._inventory, self._ledger, known)
        else:
            found.refresh()
        return found


class _Nodes:
    """The nodes that have refused one kind of claims; ``codes`` says why."""

    def __init__(self, inventory: Inventory, ledger: DeviceLedger, known: _Known) -> None:
        self.mask: Mask = np.zeros(len(inventory.nodes), dtype=np.bool_)
        self.codes: dict[int, RefusalCode] = {}
        self._inventory = inventory
        self._ledger = ledger
        self._known = known
        self._read = len(ledger.touched)
        for node in list(known):
            self._recall(node)

    def note(self, node: int, code: RefusalCode) -> None:
        self.mask[node], self.codes[node] = True, code
        self._known[node] = self._state(node), code

    def refresh(self) -> None:
        """Open nodes on which the ledger has changed, unless they are as they were when they refused."""
        touched = self._ledger.touched
        if len(touched) == self._read:
            return
        changed = self._inventory.seen.nodes_with(set(touched[self._read :]), self._inventory)
        self._read = len(touched)
        for node in changed & self._known.keys():
            self._recall(node)

    def _recall(self, node: int) -> None:
        state, code = self._known[node]
        if state == self._state(node):
            self.mask[node], self.codes[node] = True, code
        else:
            self.mask[node] = False
            self.codes.pop(node, None)

    def _state(self, node: int) -> _State:
        inventory, ledger = self._inventory, self._ledger
        rows = inventory.seen.rows[node]
        names = [inventory.id_idx[row] for row in rows]
        return (
            tuple([ledger.whole[name] for name in names]),
            tuple([ledger.shares[name] for name in names]),
            tuple([ledger.used[counter] for row in rows for counter, _ in inventory.charges[row]]),
            tuple([tuple(sorted(ledger.consumed[name].items())) for name in names if name in ledger.consumed]),
        )
