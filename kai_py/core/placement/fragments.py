"""What placing a pod would make useless, by class and node: looked up where a node of the same state was seen before.

Computed anew only for nodes that the ledger has touched, and once for all nodes that are alike: in a cluster of equal
servers there are few different states.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np

from kai_py.core.placement.suitability import PASSED, Suitabilities
from kai_py.core.resources import ACCOUNTED, DEVICE, GPU, Amounts, Rows, Shares
from kai_py.core.scores.usable import Typical
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.devices import Share
from kai_py.core.tables.pods import NONE, PodState
from kai_py.core.tables.snapshot import Snapshot

#: The most frequent pods stand for all: so many percent of them, in so many classes at most.
_COVERED: Final = 95
_CLASSES: Final = 32
#: What a whole node of room is worth beside GPUs that become useless, in thousandths of a GPU: it only breaks ties.
_TIE: Final = 10.0
_UNKNOWN: Final = -1
#: Up to so many nodes it costs more to find those that are alike than to look at all.
_FEW: Final = 32

_COUNTED: Final = (PodState.PENDING, PodState.GATED, PodState.BOUND)


class Memo:
    """Numbers by state, some of them known."""

    def __init__(self) -> None:
        self.of_state: Amounts = np.full(256, _UNKNOWN, dtype=np.int64)

    def reach(self, states: int) -> None:
        """Make room for so many states."""
        if (size := len(self.of_state)) < states:
            more = np.full(max(states, 2 * size) - size, _UNKNOWN, dtype=np.int64)
            self.of_state = np.concatenate([self.of_state, more])


class Fragments:
    """Nodes by state, and what their idle GPUs are good for. One for all classes of a cycle.

    Args:
        ledger: what is free.
        suitabilities: which pods the nodes take.
    """

    def __init__(self, ledger: Ledger, suitabilities: Suitabilities) -> None:
        self._ledger = ledger
        self._suitabilities = suitabilities
        self._read = len(ledger.touched)
        self._states: dict[bytes, int] = {}
        self.kind: Amounts = np.zeros(len(ledger.free), dtype=np.int64)
        self._usable = Memo()

    @cached_property
    def typical(self) -> Typical | None:
        """The pods that count; None where all are alike, or none wants GPUs: there is nothing to keep for others."""
        snapshot = self._ledger.snapshot
        counts = _frequent(snapshot)
        if not len(snapshot.nodes) or not any(self._gpus(pod) for pod in counts):
            return None
        pods = list(counts)
        allowed = np.array([self._suitabilities.of(pod).first_failure == PASSED for pod in pods])
        sizes, size_idx = np.unique([self._sizes(pod) for pod in pods], axis=0, return_inverse=True)
        # What is left of a device counts in thousandths of it, so nodes are of one kind only if their devices are.
        sees = np.vstack([allowed, sizes, self._capacities])
        first, self.kind = _kinds(sees)
        request = np.array([pod.request for pod in pods], dtype=np.int64)
        wanted = (request > 0) & (self._worth > 0)
        wants_none = np.array([not self._gpus(pod) for pod in pods])
        worth = self._worth * (wanted | wants_none[:, None])
        if self._main != NONE:
            worth[:, self._main] = 0
        return Typical(
            weight=np.array(list(counts.values()), dtype=np.int64),
            request=request,
            main=self._main,
            devices=np.array([self._devices(pod) for pod in pods], dtype=np.int64),
            size_idx=size_idx.reshape(-1).astype(np.int32),
            sizes=sizes[:, first].T.copy(),
            worth=worth.T,
            gpus=np.array([self._gpus(pod) for pod in pods], dtype=np.int64),
            allowed=allowed[:, first].T.copy(),
        )

    @cached_property
    def scale(self) -> float:
        """Thousandths of GPUs of the largest node."""
        return float((self._ledger.snapshot.nodes.allocatable @ self._worth).max(initial=0))

    @cached_property
    def _worth(self) -> Amounts:
        """``(R,)`` thousandths of GPUs in a base unit."""
        return self._ledger.snapshot.axis.accounting[:, ACCOUNTED.index(GPU)]

    @cached_property
    def _capacities(self) -> Amounts:
        """``(N,)`` what each device of a node has, where devices can be shared."""
        devices = self._ledger.devices
        return np.zeros(len(self._ledger.free), dtype=np.int64) if devices is None else devices.rooms.capacities

    @cached_property
    def _main(self) -> int:
        devices = self._ledger.devices
        return NONE if devices is None else devices.table.column

    def _devices(self, pod: PodClass) -> int:
        """Devices of the main column that a pod wants, or wants a part of."""
        if pod.share is not None:
            return pod.share.devices
        return 0 if self._main == NONE else pod.request[self._main] // DEVICE

    def _sizes(self, pod: PodClass) -> Amounts:
        """``(N,)`` thousandths of a device that it wants of each."""
        if pod.share is None or self._ledger.devices is None:
            return np.full(len(self._ledger.free), DEVICE, dtype=np.int64)
        return self._ledger.devices.rooms.portions(pod.share)

    def _gpus(self, pod: PodClass) -> int:
        """Thousandths of GPUs; of a share in MiB, on an ordinary device."""
        whole = int(np.array(pod.request) @ self._worth)
        if pod.share is None:
            return whole
        sizes = self._sizes(pod)
        return whole + int(np.median(sizes[sizes <= DEVICE])) * pod.share.devices if (sizes <= DEVICE).any() else whole

    @cached_property
    def _state(self) -> Rows:
        """``(N,)`` the state of each node: equal where nodes are of one kind and have the same free."""
        assert self.typical is not None
        ledger = self._ledger
        self._read = len(ledger.touched)
        columns = [self.kind[:, None], ledger.free + ledger.releasing]
        if ledger.devices is not None:
            columns.append(ledger.devices.rooms.left)
        every = [self._states.setdefault(key, len(self._states)) for key in _keys(np.hstack(columns))]
        return np.array(every, dtype=np.int32)

    def _state_of(self, node: int) -> int:
        ledger = self._ledger
        row = [self.kind[node, None], ledger.free[node] + ledger.releasing[node]]
        if ledger.devices is not None:
            row.append(ledger.devices.rooms.left[node])
        return self._states.setdefault(_keys(np.concatenate(row)[None, :])[0], len(self._states))

    def _refresh(self) -> Rows:
        state, touched = self._state, self._ledger.touched
        for node in set(touched[self._read :]):
            state[node] = self._state_of(node)
        self._read = len(touched)
        return state

    def loss(self, pod: PodClass, memo: Memo, rows: Rows) -> Shares:
        """What placing a pod makes useless, for the typical pod: expected thousandths of GPUs.

        Args:
            pod: which fits on all of them.
            memo: of its class; filled with what is new.
            rows: ``(K,)`` nodes.

        Returns:
            ``(K,)``
        """
        assert self.typical is not None
        states = self._refresh()[rows]
        memo.reach(len(self._states))
        found = memo.of_state[states]
        if (new := found == _UNKNOWN).any():
            fresh, at = states[new], rows[new]
            if len(fresh) > _FEW:  # many nodes are in the same state
                fresh, first = np.unique(fresh, return_index=True)
                at = at[first]
            memo.of_state[fresh] = self._loss(self.typical, pod, fresh, at)
            found = memo.of_state[states]
        return np.asarray(found / (2.0 * self.typical.weight.sum()))

    def _loss(self, typical: Typical, pod: PodClass, states: Rows, rows: Rows) -> Amounts:
        """``(K,)`` the same for states that are new to the class, and a node in each."""
        free, pieces = self._rooms(rows)
        left, left_pieces = self._after(pod, free, pieces, rows)
        self._usable.reach(len(self._states))
        usable, kind = self._usable.of_state, self.kind[rows].astype(np.int32)
        unknown = usable[states] == _UNKNOWN
        if unknown.any():  # one call for both: most of its time does not depend on how many nodes there are
            wider = np.zeros((int(unknown.sum()), left_pieces.shape[1] - pieces.shape[1]), dtype=np.int64)
            left = np.concatenate([left, free[unknown]])
            left_pieces = np.concatenate([left_pieces, np.hstack([pieces[unknown], wider])])
            kind = np.concatenate([kind, kind[unknown]])
        found = typical.usable(left, left_pieces, kind)
        usable[states[unknown]] = found[len(rows) :]
        return np.asarray(usable[states] - found[: len(rows)])

    def _rooms(self, rows: Rows) -> tuple[Amounts, Amounts]:
        free = self._ledger.free[rows] + self._ledger.releasing[rows]
        devices = self._ledger.devices
        return free, np.zeros((len(rows), 0), dtype=np.int64) if devices is None else devices.rooms.pieces(rows)

    def _after(self, pod: PodClass, free: Amounts, pieces: Amounts, rows: Rows) -> tuple[Amounts, Amounts]:
        """Free amounts and pieces of some nodes with one more pod on each."""
        left = free - np.array(pod.request, dtype=np.int64)
        return left, pieces if pod.share is None else self._cut(pod.share, left, pieces, rows)

    def _cut(self, share: Share, free: Amounts, pieces: Amounts, rows: Rows) -> Amounts:
        """Take a share from the devices that are fullest, whole ones last; returns what is left of devices in use."""
        assert self._ledger.devices is not None
        size, every = self._ledger.devices.rooms.portions(share)[rows], np.arange(len(rows))
        left = np.hstack([pieces, np.zeros((len(rows), share.devices), dtype=np.int64)])
        open_ = left >= size[:, None]
        for number in range(share.devices):
            column = np.where(open_, left, DEVICE + 1).argmin(axis=1)
            in_use = open_[every, column]
            column = np.where(in_use, column, pieces.shape[1] + number)
            left[every, column] = np.where(in_use, left[every, column], DEVICE) - size
            open_[every, column] = False  # each of its devices is another one
            free[:, self._main] -= DEVICE * ~in_use
        return np.maximum(left, 0)


class Sparing:
    """Scores of one class: a node is good where little becomes useless to others."""

    def __init__(self, fragments: Fragments, pod: PodClass) -> None:
        self._fragments = fragments
        self._pod = pod
        self._memo = Memo()
        self._scale = fragments.scale + _TIE

    def score(self, rows: Rows, packing: Shares) -> Shares:
        """``(K,)`` in [0, 1] for nodes on which the pod fits.

        Args:
            rows: which nodes.
            packing: ``(K,)`` what binpacking thinks of them; it decides between equals.
        """
        return 1.0 - (self._fragments.loss(self._pod, self._memo, rows) + _TIE * (1.0 - packing)) / self._scale


def _kinds(sees: Amounts) -> tuple[Rows, Amounts]:
    """A node of each kind, and ``(N,)`` the kind of each node, from ``(K, N)`` what tells them apart."""
    if (sees == sees[:, :1]).all():  # most clusters, by far
        return np.zeros(1, dtype=np.int32), np.zeros(sees.shape[1], dtype=np.int64)
    _, first, kind = np.unique(sees, axis=1, return_index=True, return_inverse=True)
    return first.astype(np.int32), kind.reshape(-1).astype(np.int64)


def _keys(rows: Amounts) -> list[bytes]:
    """Rows of ``(K, X)`` numbers as keys; as devices come and go, zeros at the end are no difference."""
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    keys: list[bytes] = rows.view(f"V{rows.shape[1] * rows.itemsize}").reshape(-1).tolist()
    return [key.rstrip(b"\0") for key in keys]


def _frequent(snapshot: Snapshot) -> dict[PodClass, int]:
    """The most frequent of our pods, waiting or running, and how many of each; none if all are alike."""
    pods, classes = snapshot.pods, snapshot.classes.classes
    ours = (pods.subgroup_idx != NONE) & np.isin(pods.state, _COUNTED)
    counts: Counter[PodClass] = Counter()
    for row, count in enumerate(np.bincount(pods.class_idx[ours], minlength=len(classes)).tolist()):
        if count and not classes[row].claims:  # what devices its claims get, nobody knows
            counts[replace(classes[row], preferred=(), excluded=frozenset(), alignment=None)] += count
    if len(counts) < 2:
        return {}
    order = sorted(counts, key=lambda pod: (-counts[pod], pod.request, pod.share or Share()))[:_CLASSES]
    needed, found = _COVERED * counts.total(), 0
    covered = {}
    for pod in order:
        if 100 * found >= needed:
            break
        covered[pod] = counts[pod]
        found += counts[pod]
    return covered
