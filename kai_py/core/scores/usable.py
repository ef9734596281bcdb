"""How much of the idle GPUs of a node is of use to the pods that this cluster sees.

A GPU that nobody can use is stranded: too small a piece of it is left, or the node has no cores or memory for whoever
would take it. The idea is that of Fragmentation Gradient Descent (Weng et al., "Beware of Fragmentation", USENIX ATC
2023): place a pod where what becomes useless to a typical pod is least. The paper looks at the next typical pod alone,
so that cores for one pod make eight GPUs useful. Here half of the weight is on as many such pods as fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kai_py.core.resources import DEVICE, Amounts, Mask, Rows

#: More pods than fit anywhere.
_MANY = 1 << 20


@dataclass(frozen=True)
class Typical:
    """Pods as the cluster sees them, by kind of node: nodes that differ only in what is free are of one kind.

    Attributes:
        weight: ``(T,)`` how many such pods.
        request: ``(T, R)`` base units.
        main: the column whose devices can be shared; -1 where no resource is counted device by device.
        devices: ``(T,)`` devices of the main column that each wants, or wants a part of.
        size_idx: ``(T,)`` column of ``sizes``, for those that want devices.
        sizes: ``(D, G)`` thousandths of a device that they want of each; more than a whole one where the kind of node
            has no such devices.
        worth: ``(R, T)`` thousandths of GPUs in a base unit of each other resource, of those that it wants; of all, if
            it wants no GPUs.
        gpus: ``(T,)`` thousandths of GPUs of one pod.
        allowed: ``(D, T)`` which kind of node takes which.
    """

    weight: Amounts
    request: Amounts
    main: int
    devices: Amounts
    size_idx: Rows
    sizes: Amounts
    worth: Amounts
    gpus: Amounts
    allowed: Mask

    def usable(self, free: Amounts, pieces: Amounts, kind: Rows) -> Amounts:
        """How much is of use, summed over the typical pods; twice, so that it is a whole number.

        Args:
            free: ``(K, R)`` of some nodes, base units; whole devices only.
            pieces: ``(K, X)`` thousandths that are left of devices in use; 0 = none.
            kind: ``(K,)`` of these nodes.

        Returns:
            ``(K,)`` thousandths of GPUs, twice, times pods.
        """
        free = np.maximum(free, 0)
        columns, asked, unasked = self._asked
        count = (free[:, columns, None] // asked + unasked).min(axis=1)
        first = free @ self.worth if self._has_others else np.zeros_like(count)
        if self.main >= 0:
            whole = free[:, self.main, None] // DEVICE
            idle, times, places = self._by_size(whole, pieces, kind)[:, :, self.size_idx]
            first += idle * self._wants
            first += (DEVICE * whole + pieces.sum(axis=1)[:, None]) * self._wants_none
            count *= places >= self.devices
            np.minimum(count, times // self._at_least_one + self._many_without, out=count)
        runs = np.minimum(count * self.gpus, first) + first * self._wants_none
        return np.asarray(((first + runs) * ((count > 0) & self.allowed[kind])) @ self.weight)

    def _by_size(self, whole: Amounts, pieces: Amounts, kind: Rows) -> Amounts:
        """``(3, K, G)``: what is idle on devices with room for a size, how often it fits, on how many of them."""
        sizes, parts = self.sizes[kind], pieces[:, None, :]
        times = parts // sizes[:, :, None]
        fits = times > 0
        full = whole * (sizes <= DEVICE)
        return np.array(
            [
                (parts * fits).sum(axis=2) + DEVICE * full,
                times.sum(axis=2) + full * (DEVICE // sizes),
                fits.sum(axis=2) + full,
            ]
        )

    @cached_property
    def _asked(self) -> tuple[Rows, Amounts, Amounts]:
        """``(Q,)`` columns that anybody asks for; ``(Q, T)`` how much, at least 1; ``(Q, T)`` many where nothing."""
        columns = np.flatnonzero(self.request.any(axis=0)).astype(np.int32)
        asked = self.request[:, columns].T
        return columns, np.maximum(asked, 1), _MANY * (asked == 0)

    @cached_property
    def _wants(self) -> Mask:
        return np.asarray(self.devices > 0)

    @cached_property
    def _wants_none(self) -> Mask:
        return np.asarray(self.gpus == 0)

    @cached_property
    def _has_others(self) -> bool:
        return bool(self.worth.any())

    @cached_property
    def _many_without(self) -> Amounts:
        return np.asarray(_MANY * (self.devices == 0))

    @cached_property
    def _at_least_one(self) -> Amounts:
        return np.maximum(self.devices, 1)
