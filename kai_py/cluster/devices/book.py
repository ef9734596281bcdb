"""Slices and taint rules: kept as they were read, laid out as an inventory when a snapshot is taken."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from kai_py.api.dra_taint_rule import DeviceTaintRule
from kai_py.api.meta import ObjectMeta
from kai_py.api.resource import ResourceSlice
from kai_py.cluster.devices.labels import labels_by_node
from kai_py.cluster.devices.slices import read_slice
from kai_py.core.dra.blocks import Blocks
from kai_py.core.dra.devices import Device, Slice
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.refused import RefusalMemory
from kai_py.core.dra.selectors import SelectorMemo
from kai_py.core.tables.nodes import NodeTable
from kai_py.errors import Fault, MalformedObjectError


class DeviceBook:
    """All ResourceSlices and DeviceTaintRules by name.

    Attributes:
        faults: slice -> what is wrong with it. It is left out, old version included: its pool is incomplete then, and
            nobody counts on devices that may be gone.
        memo: what selectors said about devices; goes with the inventory.
        refusals: where claims found no devices; goes with the inventory.
        revision: another object whenever slices or rules have changed.
    """

    def __init__(self) -> None:
        self.faults: dict[str, tuple[Fault, ...]] = {}
        self.memo = SelectorMemo()
        self.refusals = RefusalMemory()
        self._sent: dict[str, ResourceSlice] = {}
        self._slices: dict[str, Slice] = {}
        self._rules: dict[str, DeviceTaintRule] = {}
        self._blocks = Blocks()
        self._inventory: Inventory | None = None
        self._labels: dict[str, dict[str, str]] = {}
        self.revision = object()

    def __len__(self) -> int:
        return len(self._sent)

    def put(self, found: ResourceSlice) -> bool:
        """Take in a slice; tells whether anything that matters changed."""
        name = found.metadata.name
        before = self._sent.get(name)
        if before is not None and before.spec == found.spec:
            return False
        self._sent[name] = replace(found, metadata=ObjectMeta(name))
        self._read(name)
        return True

    def drop(self, name: str) -> bool:
        """Forget a slice."""
        self.faults.pop(name, None)
        if self._sent.pop(name, None) is None:
            return False
        self._slices.pop(name, None)
        self._changed()
        return True

    def put_rule(self, rule: DeviceTaintRule) -> bool:
        """Take in a taint rule; tells whether anything that matters changed."""
        before = self._rules.get(rule.metadata.name)
        if before is not None and before.spec == rule.spec:
            return False
        self._rules[rule.metadata.name] = rule
        self._read_all()
        return True

    def drop_rule(self, name: str) -> bool:
        """Forget a taint rule."""
        if self._rules.pop(name, None) is None:
            return False
        self._read_all()
        return True

    def inventory(self, nodes: NodeTable) -> Inventory:
        """All devices for the nodes of a snapshot; the same object as long as neither devices nor nodes change.

        Of the nodes only names and labels matter.
        """
        made = self._inventory
        if made is None or made.nodes.names != nodes.names or made.nodes.labels is not nodes.labels:
            made = self._inventory = Inventory.of(self._slices.values(), nodes, self._blocks)
            self.memo.keep(made.devices)
        return made

    def all(self) -> Iterator[Device]:
        """All devices of slices that can be read, also of pools that are being updated; of any node."""
        for one in self._slices.values():
            yield from one.devices

    def labels(self, key: str) -> dict[str, str]:
        """Node -> the value of an attribute; see :func:`kai_py.cluster.devices.labels.labels_by_node`."""
        if key not in self._labels:
            self._labels[key] = labels_by_node(self._slices.values(), key)
        return self._labels[key]

    def _changed(self) -> None:
        self._inventory, self.revision = None, object()
        self._labels.clear()

    def _read_all(self) -> None:
        for name in self._sent:
            self._read(name)

    def _read(self, name: str) -> None:
        rules = [self._rules[rule] for rule in sorted(self._rules)]
        self._changed()
        try:
            self._slices[name] = read_slice(self._sent[name], rules)
        except MalformedObjectError as error:
            self.faults[name] = error.faults
            self._slices.pop(name, None)
        else:
            self.faults.pop(name, None)
