"""Which pods have a claim for their part of GPUs, and which templates those need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kai_py.api.pod import Pod
from kai_py.api.resource import DeviceClaim
from kai_py.cluster.claim_objects import Name
from kai_py.cluster.devices.book import DeviceBook
from kai_py.cluster.encode.shares import asked, entry_of
from kai_py.cluster.held_back import Problem
from kai_py.cluster.shares.asks import ShareAsk, check_claimable
from kai_py.cluster.shares.kinds import DeviceKind, kinds_of
from kai_py.cluster.shares.template import MOST_ALTERNATIVES, claim_of
from kai_py.cluster.shares.ways import Ways
from kai_py.core.dra.claims import DeviceClass
from kai_py.core.dra.devices import Device
from kai_py.core.dra.selectors import Selector, SelectorError
from kai_py.core.result import ReasonCode
from kai_py.core.tables.devices import Share
from kai_py.core.tables.pods import PodKey
from kai_py.errors import MalformedObjectError


@dataclass(frozen=True)
class Sharer:
    """A pod whose part of GPUs is a claim.

    Attributes:
        template: namespace and name of the template of its claim.
        share: what its annotations ask for; None if they cannot be read, or ask for nothing.
        claim: the claim, once its status names one.
        waits: whether it has no node yet.
    """

    template: Name
    share: Share | None
    claim: Name | None
    waits: bool


class ShareBook:
    """Pods whose part of GPUs is a claim. Templates follow from them and from the devices that there are.

    Args:
        devices: all devices.
        class_of: a DeviceClass by its name.

    Attributes:
        known: templates that the API server has; whoever makes them keeps this.
        refused: templates that it has refused, and why.
        lacking: called when a pod needs a template that is not known.
    """

    def __init__(self, devices: DeviceBook, class_of: Callable[[str], DeviceClass | None]) -> None:
        self._ways = Ways()
        self.known: set[Name] = set()
        self.refused: dict[Name, str] = {}
        self.lacking: Callable[[], None] = lambda: None
        self._devices = devices
        self._class_of = class_of
        self._sharers: dict[PodKey, Sharer] = {}
        self._by_template: dict[Name, set[PodKey]] = {}
        self._kinds: dict[tuple[object, ...], tuple[DeviceKind, ...]] = {}
        #: What was found for each template: every pod that names one asks, in every snapshot.
        self._asks: dict[Name, ShareAsk | None] = {}
        self._claims: dict[Name, tuple[tuple[DeviceKind, ...], DeviceClaim | None]] = {}

    @property
    def ways(self) -> Ways:
        """By which ways pods share GPUs."""
        return self._ways

    @ways.setter
    def ways(self, ways: Ways) -> None:
        if ways != self._ways:
            self._ways = ways
            self._asks.clear()
            self._claims.clear()

    def see(self, key: PodKey, pod: Pod) -> None:
        """Take in a pod that has claims."""
        self.forget(key)
        if (entry := entry_of(pod)) is None:
            return
        template = key.namespace, entry.resource_claim_template_name or ""
        try:
            share = asked(pod)
        except MalformedObjectError:
            share = None  # its claim is what it asks for
        names = {one.name: one.resource_claim_name for one in pod.status.resource_claim_statuses}
        claim = (key.namespace, name) if (name := names.get(entry.name)) else None
        sharer = self._sharers[key] = Sharer(template, share, claim, waits=not pod.spec.node_name)
        self._by_template.setdefault(template, set()).add(key)
        if self._asks.get(template) is None:
            self._asks.pop(template, None)  # this pod may say what the others did not
        if sharer.waits and claim is None and template not in self.known:
            self.lacking()

    def forget(self, key: PodKey) -> None:
        """A pod does not matter any more."""
        sharer = self._sharers.pop(key, None)
        if sharer is not None:
            users = self._by_template[sharer.template]
            users.discard(key)
            if not users:
                del self._by_template[sharer.template]
                for found in (self.refused, self._asks, self._claims):
                    found.pop(sharer.template, None)

    @property
    def used(self) -> frozenset[Name]:
        """Templates that pods name."""
        return frozenset(self._by_template)

    def waiting(self, template: Name) -> Iterator[tuple[PodKey, Sharer]]:
        """Pods that wait and name a template."""
        for key in sorted(self._by_template.get(template, ())):
            if self._sharers[key].waits:
                yield key, self._sharers[key]

    def wanted(self) -> dict[Name, DeviceClaim]:
        """What the templates say that pods wait with, as far as it can be said now."""
        found = {}
        for template in sorted(self._by_template):
            waits = any(self._sharers[key].waits for key in self._by_template[template])
            if waits and (claim := self.claim_for(template)) is not None:
                found[template] = claim
        return found

    def claim_for(self, template: Name) -> DeviceClaim | None:
        """What a template says; None if nobody asks for it under these settings, or it cannot be said now."""
        ask = self._ask(template)
        if ask is None or self._class_of(ask.device_class) is None:
            return None
        kinds, known = self._kinds_for(ask), self._claims.get(template)
        if known is None or known[0] is not kinds:
            known = self._claims[template] = kinds, claim_of(ask, kinds)
        return known[1]

    def problem(self, template: Name) -> Problem | None:
        """Why a template is not there that a pod's claim is to be made from; None = it takes its time, or is not ours.

        Args:
            template: namespace and name.
        """
        if template not in self._by_template:
            return None
        ask = self._ask(template)
        if ask is None:
            return ReasonCode.SHARE_UNPREPARED, {"template": "/".join(template)}
        if self._class_of(ask.device_class) is None:
            return ReasonCode.SHARE_NOT_OFFERED, {"message": f"there is no DeviceClass {ask.device_class}"}
        if self.claim_for(template) is None:
            capacities = " and ".join((ask.memory, *ask.in_proportion))
            text = (
                f"DeviceClass {ask.device_class} has no device that may be allocated several times and has {capacities}"
            )
            return ReasonCode.SHARE_NOT_OFFERED, {"message": text}
        if (why := self.refused.get(template)) is not None:
            return ReasonCode.SHARE_NOT_OFFERED, {"message": f"its template cannot be made: {why}"}
        return None

    def _ask(self, template: Name) -> ShareAsk | None:
        """What is asked for by a template's name: that of a pod that has it, if settings still give it that name."""
        if template not in self._asks:
            shares = {self._sharers[key].share for key in self._by_template.get(template, ())}
            offered = shares if self.ways.offers("claims") else ()
            asks = (ShareAsk.of(one, self.ways.claims) for one in offered if one is not None and _is_claimable(one))
            self._asks[template] = next((ask for ask in asks if ask.template == template[1]), None)
        return self._asks[template]

    def _kinds_for(self, ask: ShareAsk) -> tuple[DeviceKind, ...]:
        found = self._class_of(ask.device_class)
        names = (ask.memory, *ask.in_proportion)
        selectors = found.selectors if found is not None else ()
        key = self._devices.revision, selectors, names
        if key not in self._kinds:
            mine = (one for one in self._devices.all() if found is not None and self._matches(selectors, one))
            self._kinds = {key: kinds_of(mine, names, MOST_ALTERNATIVES)}
        return self._kinds[key]

    def _matches(self, selectors: Sequence[Selector], device: Device) -> bool:
        try:
            return self._devices.memo.matches(selectors, device)
        except SelectorError:
            return False


def _is_claimable(share: Share) -> bool:
    try:
        check_claimable(share, "")
    except MalformedObjectError:
        return False
    return True
