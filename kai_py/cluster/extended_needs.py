"""Pods whose extended resources may be devices (KEP-5004): on which nodes they are, and what is claimed there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from operator import is_not
from typing import Final

import msgspec
import numpy as np

from kai_py.api.meta import ObjectMeta
from kai_py.api.pod import Container, Pod, PodSpec
from kai_py.cluster.bills import Prices
from kai_py.cluster.devices.claims import ClaimReader
from kai_py.cluster.devices.extended import ExtendedClaim, ExtendedResources, extended_claim, requests_of
from kai_py.cluster.encode.axis import per_unit
from kai_py.cluster.node_prices import NodePrices
from kai_py.core.dra.claims import Claim
from kai_py.core.dra.inventory import NOWHERE, Inventory
from kai_py.core.dra.selectors import SelectorError, SelectorMemo
from kai_py.core.dra.table import Extended
from kai_py.core.resources import Mask, ResourceAxis
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.pods import PodKey
from kai_py.errors import Fault, MalformedObjectError

#: So many kinds of pods are told apart.
_REMEMBERED: Final = 4096


@dataclass(frozen=True)
class Wanted:
    """What pods of one kind claim for their extended resources.

    Attributes:
        extended: by node.
        whole: all that is claimed where all of it are devices.
        cost: per bill, beyond what the resources cost anyway.
        fault: why it cannot be told; None = it can.
    """

    extended: Extended
    whole: Claim
    cost: tuple[int, ...]
    fault: Fault | None = None


@dataclass(frozen=True)
class Offer:
    """Resources that are devices on some nodes.

    Attributes:
        nodes: with the devices of those nodes as what they have to offer.
        backed: resource -> class.
        devices: resource -> ``(N,)`` the nodes that do not offer it themselves.
        counted: rows of names of devices that count among the resources of nodes, by resource.
    """

    nodes: NodeTable
    backed: Mapping[str, str]
    devices: Mapping[str, Mask]
    counted: Mapping[str, frozenset[int]]


class ExtendedNeeds:
    """Which pods ask for extended resources, and which of these are devices.

    Args:
        reader: knows the classes.

    Attributes:
        resources: which class backs which resource.
    """

    def __init__(self, reader: ClaimReader) -> None:
        self.resources = ExtendedResources()
        self._reader = reader
        self._encoder = msgspec.msgpack.Encoder(enc_hook=dict)
        #: Pods that ask for the same share one that stands for all of them.
        self._kinds: dict[bytes, Pod] = {}
        self._pods: dict[PodKey, Pod] = {}
        self._offer: Offer | None = None
        self._made_of: tuple[object, ...] = ()
        self._wanted: dict[int, tuple[Pod, Wanted]] = {}
        self._for: Offer | None = None
        self._prices: Sequence[Prices | NodePrices] = ()

    def see(self, key: PodKey, pod: Pod) -> None:
        """Take in a pod."""
        if not any(_may_be_extended(name) for one in _containers(pod) for name in requests_of(one)):
            self._pods.pop(key, None)
            return
        spec = PodSpec(containers=pod.spec.containers, init_containers=pod.spec.init_containers)
        text = self._encoder.encode(
            [(one.name, one.restart_policy, requests_of(one)) for one in _containers(pod)]
            + [len(pod.spec.init_containers)]
        )
        if len(self._kinds) >= _REMEMBERED:
            self._kinds.clear()
        self._pods[key] = self._kinds.setdefault(text, Pod(ObjectMeta("", namespace=""), spec))

    @property
    def pods(self) -> AbstractSet[PodKey]:
        """Pods that ask for extended resources."""
        return self._pods.keys()

    def forget(self, key: PodKey) -> None:
        """A pod does not matter any more."""
        self._pods.pop(key, None)

    def changed(self) -> None:
        """Classes have changed."""
        self._offer = None

    def offer(self, nodes: NodeTable, axis: ResourceAxis, inventory: Inventory, memo: SelectorMemo) -> Offer | None:
        """What is devices where; None where nothing is. The very same object as long as nothing changes."""
        backed = {name: found for name in axis.names if (found := self.resources.get(name)) is not None}
        backed = {name: found for name, found in backed.items() if self._reader.device_class(found) is not None}
        if not backed or not self._pods:
            return None
        made_of = nodes, inventory, memo  # kept as long as what was made of them, or others may take their places
        if self._offer is None or self._offer.backed != backed or any(map(is_not, self._made_of, made_of)):
            self._offer, self._made_of = self._made(nodes, axis, inventory, memo, backed), made_of
        return self._offer

    def _made(
        self,
        nodes: NodeTable,
        axis: ResourceAxis,
        inventory: Inventory,
        memo: SelectorMemo,
        backed: Mapping[str, str],
    ) -> Offer:
        allocatable = nodes.allocatable.copy()
        devices: dict[str, Mask] = {}
        counted: dict[str, frozenset[int]] = {}
        for resource, called in backed.items():
            column = axis.index[resource]
            without: Mask = np.asarray(nodes.allocatable[:, column] == 0)
            matching = self._matching(called, inventory, memo)
            for node in np.flatnonzero(without).tolist():
                found = sum(row in matching for row in inventory.at(node).rows)
                allocatable[node, column] = found * per_unit(resource)
            devices[resource] = without
            homes = inventory.node_idx
            counted[resource] = frozenset(
                inventory.id_idx[row]
                for row in matching
                if homes.item(row) != NOWHERE and without.item(homes.item(row))
            )
        return Offer(dataclasses.replace(nodes, allocatable=allocatable), dict(backed), devices, counted)

    def _matching(self, called: str, inventory: Inventory, memo: SelectorMemo) -> set[int]:
        """Devices of a class."""
        device_class = self._reader.device_class(called)
        assert device_class is not None
        found = set()
        for row, device in enumerate(inventory.devices):
            try:
                if memo.matches(device_class.selectors, device):
                    found.add(row)
            except SelectorError:
                continue  # such a device is not given out by this class
        return found

    def wanted(
        self, key: PodKey, offer: Offer, axis: ResourceAxis, prices: Sequence[Prices | NodePrices]
    ) -> Wanted | None:
        """What a pod claims; None for nothing."""
        pod = self._pods.get(key)
        if pod is None:
            return None
        if self._for is not offer or self._prices is not prices:
            self._for, self._prices = offer, prices
            self._wanted.clear()
        known = self._wanted.get(id(pod))
        if known is None:
            known = self._wanted[id(pod)] = pod, self._want(pod, offer, axis)
        return known[1] if known[1].extended.variants or known[1].fault is not None else None

    def _want(self, pod: Pod, offer: Offer, axis: ResourceAxis) -> Wanted:
        asked = {name for one in _containers(pod) for name in requests_of(one)}
        own = [name for name in sorted(offer.backed) if name in asked]
        nothing = (0,) * len(self._prices)
        try:
            if not own or not any(offer.devices[name].any() for name in own):
                return Wanted(Extended(()), Claim(""), nothing)
            whole = self._claim(pod, {name: offer.backed[name] for name in own})
            cost = []
            for one in self._prices:
                if isinstance(one, NodePrices):
                    cost.append(0)  # devices that take of nodes serve no extended resources
                    continue
                paid = axis.accounting[:, one.bill.column]
                unpaid = {name: offer.backed[name] for name in own if not paid[axis.index[name]]}
                claim = self._claim(pod, unpaid)
                cost.append(one.asked(claim) if claim is not None else 0)
            variants = []
            codes = sum(offer.devices[name].astype(np.int64) << bit for bit, name in enumerate(own))
            for code in sorted(set(np.asarray(codes).tolist()) - {0}):
                here = {name: offer.backed[name] for bit, name in enumerate(own) if code >> bit & 1}
                if (claim := self._claim(pod, here)) is not None:
                    variants.append((np.asarray(codes == code), claim))
        except MalformedObjectError as error:
            return Wanted(Extended(()), Claim(""), nothing, error.faults[0])
        return Wanted(Extended(tuple(variants)), whole or Claim(""), tuple(cost))

    def _claim(self, pod: Pod, classes: Mapping[str, str]) -> Claim | None:
        made = extended_claim(pod, classes)
        return self._reader.read_spec(made.spec, "the claim on extended resources") if made is not None else None

    def claim_of(self, key: PodKey, requests: frozenset[str]) -> ExtendedClaim | None:
        """The claim to make for a pod that is known; see :meth:`special_claim`."""
        pod = self._pods.get(key)
        return self.special_claim(pod, requests) if pod is not None else None

    def special_claim(self, pod: Pod, requests: frozenset[str]) -> ExtendedClaim | None:
        """The claim to make for a pod whose devices have been chosen.

        Args:
            pod: the pod.
            requests: names of the requests that got devices; others are served by the node itself.
        """
        asked = {name for one in _containers(pod) for name in requests_of(one)}
        backed = {name: found for name in asked if (found := self.resources.get(name)) is not None}
        made = extended_claim(pod, backed)
        if made is None:
            return None
        devices = tuple(one for one in made.spec.requests if one.name in requests)
        mappings = tuple(one for one in made.mappings if one.request in requests)
        return ExtendedClaim(type(made.spec)(devices), mappings)


def _containers(pod: Pod) -> tuple[Container, ...]:
    return (*pod.spec.init_containers, *pod.spec.containers)


def _may_be_extended(resource: str) -> bool:
    """Whether a class may back a resource: extended ones have a domain, which is not Kubernetes' own."""
    domain, slash, _ = resource.partition("/")
    return bool(slash) and (domain == "deviceclass.resource.kubernetes.io" or not domain.endswith("kubernetes.io"))
