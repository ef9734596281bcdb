"""Nodes through the eyes of pods that ask for parts of devices: which devices they would get, and where best."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np

from kai_py.core.options import Options, Strategy
from kai_py.core.placement.fragments import Fragments
from kai_py.core.placement.suitability import Suitability
from kai_py.core.placement.views import NOWHERE, ClassView, Place
from kai_py.core.resources import DEVICE, Amounts, Mask, Rows, Shares
from kai_py.core.result import FilterReason
from kai_py.core.state.devices import Devices, Taken
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.devices import Share

#: In place of a name: a device that nobody shares yet.
_FRESH = ""
_UNUSED = Taken()


class SharingView(ClassView):
    """All nodes through the eyes of one pod class that shares devices.

    Room for everything else, filters and scores are those of any class; the devices of a node are looked at one by one,
    on nodes that have something for the pod, so this costs in proportion to nodes with GPUs.
    """

    def __init__(
        self, class_idx: int, suitability: Suitability, ledger: Ledger, options: Options, fragments: Fragments
    ) -> None:
        pod = ledger.snapshot.classes.classes[class_idx]
        assert ledger.devices is not None
        assert pod.share is not None
        self._devices: Devices = ledger.devices
        self._pod: PodClass = pod
        self._share: Share = pod.share
        self._fullest_first = options.gpu is not Strategy.SPREAD
        self._sharing = options.weights.get("sharing", 0.0)
        self._amounts: Amounts = self._devices.rooms.amounts(pod.share)
        self._capacities: Amounts = self._devices.rooms.capacities
        super().__init__(class_idx, suitability, ledger, options, fragments)

    def _packed_by(self, ledger: Ledger, class_idx: int) -> Amounts:
        """Who asks for a part of a GPU is packed like those who ask for GPUs."""
        request = super()._packed_by(ledger, class_idx).copy()
        request[self._devices.table.column] = DEVICE
        return request

    def _evaluate(self, rows: Rows | slice) -> None:
        super()._evaluate(rows)
        candidates = np.arange(len(self._value))[rows]
        # Nodes whose labels, taints or other resources have ruled them out already are not worth a look.
        candidates = candidates[self._value[candidates] != NOWHERE]
        steady = self._devices.rooms.steady[candidates]
        steady &= self._ledger.releasing[candidates, self._devices.table.column] == 0
        self._value_steady(candidates[steady])
        for node in candidates[~steady].tolist():
            self._value_devices(node)

    def _value_steady(self, nodes: Rows) -> None:
        """The same as :meth:`_value_devices` for ``(K,)`` nodes on which nobody comes or goes."""
        wanted, amount = self._share.devices, self._amounts[nodes]
        in_use = (self._devices.rooms.left[nodes] >= amount[:, None]).sum(axis=1)
        whole = np.maximum(self._ledger.free[nodes, self._devices.table.column] // DEVICE, 0)
        whole[amount > self._capacities[nodes]] = 0
        fits = in_use + whole >= wanted
        self._value[nodes[~fits]] = NOWHERE
        self._now[nodes[~fits]] = False
        none_fresh = in_use >= wanted if self._fullest_first else whole == 0
        self._value[nodes[fits & none_fresh & self._now[nodes]]] += self._sharing

    def _evaluate_one(self, node: int) -> None:
        super()._evaluate_one(node)
        if self._value.item(node) != NOWHERE:
            self._value_devices(node)

    def _value_devices(self, node: int) -> None:
        """Put right what was valued without regard to devices."""
        chosen = self._choose(node)
        if chosen is None:
            self._value[node] = NOWHERE
            self._now[node] = False
            return
        names, now = chosen
        if self._now.item(node) and not now:
            self._now[node] = False
            self._value[node] -= self._available
        if self._now.item(node) and _FRESH not in names:
            self._value[node] += self._sharing

    def _choose(self, node: int) -> tuple[list[str], bool] | None:
        """The devices for one pod on a node, and whether there is room now; None if there is none even later.

        Devices with room now come first, then the fullest (or the emptiest, to spread), then by name; one that nobody
        shares counts as empty.
        """
        wanted, devices = self._share.devices, self._devices.on(node)
        whole_now, whole_later = self._whole(node)
        chosen: list[str] = []
        now = True
        for must_wait, _, name in sorted(self._offers(node, whole_now, whole_later)):
            one = devices.get(name, _UNUSED)
            if not one.later:
                if whole_later == 0:
                    continue
                whole_later -= 1
            if not one.now:
                now, whole_now = now and whole_now > 0, whole_now - 1
            now = now and not must_wait
            chosen.append(name)
            if len(chosen) == wanted:
                return chosen, now
        return None

    def _whole(self, node: int) -> tuple[int, int]:
        """How many whole devices of a node are free now, and later."""
        column = self._devices.table.column
        free = self._ledger.free.item(node, column)
        later = free + self._ledger.releasing.item(node, column)
        return max(0, free // DEVICE), max(0, later // DEVICE)

    def _offers(self, node: int, whole_now: int, whole_later: int) -> Iterator[tuple[bool, int, str]]:
        """Devices that could be taken later, each with whether it must be waited for, and its rank."""
        if self._share.memory and not self._devices.table.memory.item(node):
            return  # nobody knows what its devices have
        amount, most = self._devices.amount(self._pod, node), self._devices.capacity(node)
        if amount > most:
            return
        for name, one in self._devices.on(node).items():
            if one.later + amount <= most:
                fits_now = one.now + amount <= most and (one.now or whole_now)
                yield not fits_now, self._rank(one), name
        for number in range(min(whole_later, self._share.devices)):
            yield number >= whole_now, self._rank(_UNUSED), _FRESH

    def _rank(self, one: Taken) -> int:
        return -one.later if self._fullest_first else one.later

    def best(self, within: Mask | None = None, bonus: Shares | None = None) -> Place | None:
        """The best node and the devices there; see :meth:`ClassView.best`."""
        return self._with_devices(super().best(within, bonus))

    def at(self, node: int) -> Place | None:
        """The devices on one node; see :meth:`ClassView.at`."""
        return self._with_devices(super().at(node))

    def _with_devices(self, place: Place | None) -> Place | None:
        if place is None or (chosen := self._choose(place.node)) is None:
            return None
        names: list[str] = []
        for name in chosen[0]:
            names.append(name or self._new_name(place.node, names))
        return place._replace(devices=tuple(sorted(names)))

    def _new_name(self, node: int, others: list[str]) -> str:
        """A name for a device that was not shared before: the same for the same snapshot, and nobody else's there."""
        taken = self._devices.on(node)
        # With the moment in it, no name comes back in a later cycle, when somebody may still remember it.
        moment = round(self._ledger.snapshot.now * 1000)
        for number in count():
            name = f"gpu-{moment:x}-{node:x}-{number:x}"
            if name not in taken and name not in others:
                return name
        raise AssertionError("numbers do not end")

    def slots(self, by_amounts: Amounts, *, later: bool) -> Amounts:
        """How many pods each node takes, by its devices too; see :meth:`ClassView.slots`."""
        slots = super().slots(by_amounts, later=later).copy()
        for node in np.flatnonzero(slots).tolist():
            slots[node] = min(slots.item(node), self._fitting(node, slots.item(node), later=later))
        return slots

    def _fitting(self, node: int, most: int, *, later: bool) -> int:
        """How many pods the devices of a node take, at most ``most``, each on devices of its own."""
        amount, capacity = self._devices.amount(self._pod, node), self._devices.capacity(node)
        if amount > capacity or (self._share.memory and not self._devices.table.memory.item(node)):
            return 0
        taken = [one.later if later else max(one) for one in self._devices.on(node).values()]
        if not later:  # a device that is only waited for has to be opened
            taken = [held for held, one in zip(taken, self._devices.on(node).values(), strict=True) if one.now]
        takes = [(capacity - held) // amount for held in taken if held]
        now, soon = self._whole(node)
        takes += [capacity // amount] * (soon if later else min(now, soon))
        wanted = self._share.devices
        while most and sum(min(each, most) for each in takes) < wanted * most:
            most -= 1
        return most

    def explain(self) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
        """Why no node takes the class; nodes that only lack room on a device lack the resource that is shared."""
        reasons, missing = super().explain()
        self.refresh()
        lacking = int((self.allowed & (self._value == NOWHERE)).sum())
        full = reasons.get(str(FilterReason.RESOURCES), 0)
        misaligned = sum(reasons.get(str(one), 0) for one in (FilterReason.NUMA_NODE, FilterReason.NUMA_NODES))
        if alone := lacking - misaligned - full:
            reasons[str(FilterReason.RESOURCES)] = full + alone
            missing[self._ledger.snapshot.axis.names[self._devices.table.column]] = (alone, 0)
        return reasons, missing
