"""Claims on devices: objects as they were read, and the table that a snapshot has of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from kai_py.api.keys import QUEUE_LABEL
from kai_py.api.pod import Pod
from kai_py.api.resource import Allocation, DeviceClass, ResourceClaim
from kai_py.api.selectors import NodeSelector
from kai_py.cluster.devices.book import DeviceBook
from kai_py.cluster.devices.claims import ClaimReader
from kai_py.cluster.devices.reach import terms_of
from kai_py.cluster.devices.results import taken_by
from kai_py.core.dra.claims import ALL, Alternative, Claim
from kai_py.core.dra.devices import Device
from kai_py.core.dra.expressions import compile_selector
from kai_py.core.dra.inventory import NOWHERE, Inventory
from kai_py.core.dra.selectors import Selector, SelectorError, SelectorMemo
from kai_py.core.dra.table import Ask, ClaimRow, ClaimTable, Counted, Held
from kai_py.core.resources import ACCOUNTED, DEVICE, GPU, ResourceAxis
from kai_py.core.result import ReasonCode
from kai_py.core.tables.classes import ClassTable
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.podgroups import PodGroupTable, SubGroupTable
from kai_py.core.tables.pods import NONE, PodKey, PodState, PodTable
from kai_py.errors import Fault, MalformedObjectError

#: Begins the names by which queues account devices of one DeviceClass.
CLASS_PREFIX: Final = "deviceclass/"
_GPU: Final = ACCOUNTED.index(GPU)

Name = tuple[str, str]
_Problem = tuple[ReasonCode, dict[str, str]]
_NEW: Final = (PodState.PENDING, PodState.GATED)


@dataclass(frozen=True)
class Needs:
    """The claims of a pod.

    Attributes:
        claims: namespace and name, in the pod's order, each once.
        owned: those of them that are made from templates.
        missing: a claim or template that is not known by name yet.
    """

    claims: tuple[Name, ...]
    owned: frozenset[Name]
    missing: str = ""


@dataclass(frozen=True)
class Tables:
    """The tables of a snapshot with claims worked in."""

    pods: PodTable
    podgroups: PodGroupTable
    classes: ClassTable
    claims: ClaimTable | None


class ClaimBook:
    """All ResourceClaims and what they are made of, and which pods need them.

    Attributes:
        devices: ResourceSlices and taint rules.
        objects: claims by namespace and name.
        faults: of DeviceClasses and ResourceClaims, by kind and name.
    """

    def __init__(self) -> None:
        self.devices = DeviceBook()
        self.objects: dict[Name, ResourceClaim] = {}
        self.faults: dict[tuple[str, str], tuple[Fault, ...]] = {}
        self._reader = ClaimReader(compile_selector)
        self._needs: dict[PodKey, Needs] = {}

    def put_class(self, found: DeviceClass) -> None:
        """Take in a DeviceClass; one that cannot be read is as if it were not there."""
        key = "DeviceClass", found.metadata.name
        self.faults.pop(key, None)
        try:
            self._reader.put_class(found)
        except MalformedObjectError as error:
            self.faults[key] = error.faults

    def put(self, claim: ResourceClaim) -> None:
        """Take in a claim."""
        self.objects[claim.metadata.key] = claim

    def drop(self, name: Name) -> None:
        """Forget a claim."""
        self.objects.pop(name, None)
        self.faults.pop(("ResourceClaim", "/".join(name)), None)

    def see(self, key: PodKey, pod: Pod) -> None:
        """Take in a pod that holds capacity, or wants some."""
        if pod.spec.resource_claims:
            self._needs[key] = needs_of(pod)
        elif self._needs:
            self._needs.pop(key, None)

    def forget(self, key: PodKey) -> None:
        """A pod is gone."""
        self._needs.pop(key, None)

    # -- the snapshot ------------------------------------------------------------------------------

    def constrain(
        self,
        pods: PodTable,
        classes: ClassTable,
        podgroups: PodGroupTable,
        subgroups: SubGroupTable,
        nodes: NodeTable,
        queues: Sequence[str],
        axis: ResourceAxis,
        gpu_classes: frozenset[str],
    ) -> Tables:
        """Work claims into the tables; the very same tables come back where no pod has any.

        Pods whose claims cannot be served are held back like those with scheduling gates; a podgroup of which nobody
        else waits is blocked.
        """
        if not self._needs:
            return Tables(pods, podgroups, classes, None)
        row_of = {key: row for row, key in enumerate(pods.keys) if key in self._needs}
        if not row_of:
            return Tables(pods, podgroups, classes, None)
        inventory = self.devices.inventory(nodes)
        made = _Making(inventory, pods, self._bills(axis, gpu_classes))
        problems: dict[int, _Problem] = {}
        queue_of = _queues(row_of.values(), pods, subgroups, podgroups, queues)
        for name, claim in sorted(self.objects.items()):
            self._lay(made, name, claim)
        for key, row in sorted(row_of.items(), key=lambda entry: entry[1]):
            needs, waits = self._needs[key], pods.state.item(row) in _NEW
            problem = self._problem(needs, made, queue_of.get(row)) if waits else None
            if problem is not None:
                problems[row] = problem
            else:
                made.of_pod[row] = tuple(made.row_of[name] for name in needs.claims if name in made.row_of)
        made.count_users(self.objects)
        classes, class_idx = made.classes(classes)
        state = pods.state
        if problems:
            state = state.copy()
            state[list(problems)] = PodState.GATED
            podgroups = _block(podgroups, subgroups, pods, state, problems)
        table = made.table(self.devices)
        return Tables(dataclasses.replace(pods, class_idx=class_idx, state=state), podgroups, classes, table)

    def _bills(self, axis: ResourceAxis, gpu_classes: frozenset[str]) -> tuple[_Bill, ...]:
        """What queues are charged for: GPUs, and classes that some queue names."""
        bills = [_Bill(_GPU, DEVICE, gpu_classes)]
        for column, name in enumerate(axis.accounted):
            if name.startswith(CLASS_PREFIX):
                called = name.removeprefix(CLASS_PREFIX)
                found = self._reader.device_class(called)
                if found is not None:
                    bills.append(_Bill(column, 1, frozenset({called}), found.selectors))
        return tuple(bills)

    def _lay(self, made: _Making, name: Name, claim: ResourceClaim) -> None:
        where = f"ResourceClaim {'/'.join(name)}"
        fault = "ResourceClaim", "/".join(name)
        self.faults.pop(fault, None)
        allocation, held = claim.status.allocation, None
        try:
            if allocation is not None:
                held = _held(allocation, made.inventory, where)
        except MalformedObjectError as error:
            self.faults[fault] = error.faults
            return
        try:
            asked = self._reader.read(claim)
        except MalformedObjectError as error:
            asked = Claim(where)
            made.unreadable[name] = error.faults[0]
        row = ClaimRow("/".join(name), claim.metadata.uid, asked, held)
        made.add(name, row, {bill.column: bill.unit * _count(bill, asked, allocation) for bill in made.bills})

    def _problem(self, needs: Needs, made: _Making, queue: str | None) -> _Problem | None:
        """What keeps a pod with claims from being scheduled."""
        if needs.missing:
            return ReasonCode.CLAIM_MISSING, {"claim": needs.missing}
        for name in needs.claims:
            text, claim = "/".join(name), self.objects.get(name)
            if claim is None:
                return ReasonCode.CLAIM_MISSING, {"claim": text}
            if claim.metadata.deletion_timestamp is not None:
                return ReasonCode.CLAIM_INVALID, {"claim": text, "message": "it is being deleted"}
            faults = self.faults.get(("ResourceClaim", text), ())
            fault = next(iter(faults), made.unreadable.get(name) if claim.status.allocation is None else None)
            if fault is not None:
                return ReasonCode.CLAIM_INVALID, {"claim": text, "field": fault.field, "message": fault.message}
            if name not in needs.owned and made.cost[name][_GPU] and claim.metadata.labels.get(QUEUE_LABEL) != queue:
                return ReasonCode.CLAIM_OF_OTHER_QUEUE, {"claim": text, "queue": queue or ""}
        return None


@dataclass(frozen=True)
class _Bill:
    """Devices that queues are charged for: those of some drivers, or those of a DeviceClass."""

    column: int
    unit: int
    classes: frozenset[str]
    selectors: tuple[Selector, ...] | None = None

    def covers(self, device: Device, memo: SelectorMemo) -> bool:
        if self.selectors is None:
            return device.driver in self.classes
        try:
            return memo.matches(self.selectors, device)
        except SelectorError:
            return False


class _Making:
    """A table of claims in the making."""

    def __init__(self, inventory: Inventory, pods: PodTable, bills: tuple[_Bill, ...]) -> None:
        self.bills = bills
        self.inventory = inventory
        self.pods = pods
        self.rows: list[ClaimRow] = []
        self.row_of: dict[Name, int] = {}
        self.cost: dict[Name, dict[int, int]] = {}
        self.of_pod: dict[int, tuple[int, ...]] = {}
        self.of_class: dict[int, tuple[Ask, ...]] = {}
        self.unreadable: dict[Name, Fault] = {}
        self._users: dict[int, list[int]] = {}
        self._names: list[Name] = []

    def add(self, name: Name, row: ClaimRow, cost: dict[int, int]) -> None:
        self.row_of[name] = len(self.rows)
        self.rows.append(row)
        self._names.append(name)
        self.cost[name] = cost

    def count_users(self, objects: dict[Name, ResourceClaim]) -> None:
        """Who uses each claim, those that run first; whom it is reserved for beside them."""
        states = self.pods.state
        for pod, rows in sorted(self.of_pod.items(), key=lambda entry: (_standing(states.item(entry[0])), entry[0])):
            for row in rows:
                self._users.setdefault(row, []).append(pod)
        for row, name in enumerate(self._names):
            if reserved := objects[name].status.reserved_for:
                ours = {self.pods.keys[pod].uid for pod in self._users.get(row, ())}
                others = sum(one.uid not in ours for one in reserved)
                if others:
                    self.rows[row] = dataclasses.replace(self.rows[row], others=others)

    def classes(self, classes: ClassTable) -> tuple[ClassTable, np.ndarray]:
        """The table with a class for every kind of pod and claims, and ``(P,)`` rows in it.

        Queues pay for a claim with the class of the first pod that uses it.
        """
        class_idx = self.pods.class_idx.copy()
        known: dict[tuple[int, tuple[Hashable, ...], tuple[int, ...]], int] = {}
        made, request, accounted = list(classes.classes), list(classes.request), list(classes.accounted)
        for pod, rows in sorted(self.of_pod.items()):
            if not rows:
                continue
            asks = tuple(self._ask(row, pod) for row in rows)
            claims = tuple(ask if isinstance(ask, int) else (ask.requests, ask.constraints, ask.config) for ask in asks)
            paid = [self.cost[self._names[row]] for row in rows if self._users[row][0] == pod]
            cost = tuple(sum(one[bill.column] for one in paid) for bill in self.bills)
            key = class_idx.item(pod), claims, cost
            if (number := known.get(key)) is None:
                number = known[key] = len(made)
                made.append(dataclasses.replace(classes.classes[key[0]], claims=claims))
                request.append(classes.request[key[0]])
                charged = classes.accounted[key[0]].copy()
                for bill, units in zip(self.bills, cost, strict=True):
                    charged[bill.column] += units
                accounted.append(charged)
                self.of_class[number] = asks
            class_idx[pod] = number
        return ClassTable(tuple(made), np.array(request), np.array(accounted)), class_idx

    def _ask(self, row: int, pod: int) -> Ask:
        """The very claim where others use it too, or it has devices that a waiting pod must go to."""
        claim = self.rows[row]
        waits = self.pods.state.item(pod) in _NEW
        if len(self._users[row]) > 1 or claim.others or (waits and claim.held is not None):
            return row
        return claim.asked

    def table(self, devices: DeviceBook) -> ClaimTable:
        inventory = self.inventory
        return ClaimTable(
            inventory=inventory,
            claims=tuple(self.rows),
            of_pod={pod: rows for pod, rows in self.of_pod.items() if rows},
            of_class=self.of_class,
            counted=tuple(self._counted(bill, devices.memo) for bill in self.bills),
            memo=devices.memo,
        )

    def _counted(self, bill: _Bill, memo: SelectorMemo) -> Counted:
        inventory = self.inventory
        ready, homes = inventory.nodes.ready, inventory.node_idx.tolist()
        rows = [
            row
            for row, device in enumerate(inventory.devices)
            # Devices that belong to no single node are there as long as their driver says so.
            if (ready.item(homes[row]) if homes[row] != NOWHERE else not inventory.reach_of(row).node)
            and bill.covers(device, memo)
        ]
        whole = {inventory.id_idx[row] for row in rows if not inventory.charges[row]}
        cut = {inventory.counters.set_idx[counter] for row in rows for counter, _ in inventory.charges[row]}
        names = frozenset(inventory.id_idx[row] for row in rows)
        return Counted(bill.column, bill.unit, names, len(whole) + len(cut))


def _standing(state: int) -> int:
    """Who runs pays before who waits, and who leaves pays nothing."""
    return 0 if state == PodState.BOUND else 1 if state in _NEW else 2


def needs_of(pod: Pod) -> Needs:
    """Which claims a pod uses. Those that are made from templates are named by its status."""
    made = {status.name: status for status in pod.status.resource_claim_statuses}
    found: dict[Name, None] = {}
    owned, missing = set[Name](), ""
    for one in pod.spec.resource_claims:
        if one.resource_claim_name:
            found[pod.metadata.namespace, one.resource_claim_name] = None
        elif (status := made.get(one.name)) is None:
            missing = missing or f"{pod.metadata.namespace}/{one.resource_claim_template_name or one.name}"
        elif status.resource_claim_name:
            name = pod.metadata.namespace, status.resource_claim_name
            found[name] = None
            owned.add(name)
    return Needs(tuple(found), frozenset(owned), missing)


def _held(allocation: Allocation, inventory: Inventory, where: str) -> Held:
    """What a claim has been given, by whomever."""
    takes = taken_by(allocation, inventory, where=where)
    selector: NodeSelector | None = allocation.node_selector
    return Held(takes, None if selector is None else terms_of(selector))


def _count(bill: _Bill, claim: Claim, allocation: Allocation | None) -> int:
    """Devices that a claim has, or asks for, and that are on a bill; the most expensive of several alternatives counts.

    Of "all devices" nobody knows how many they are before they are found: they count once they are.
    """
    if allocation is None:
        asked = [[_asked(bill, one) for one in request.alternatives] for request in claim.requests]
        return sum(max(counts, default=0) for counts in asked)
    results = [result for result in allocation.devices.results if not result.admin_access]
    if bill.selectors is None:
        return sum(result.driver in bill.classes for result in results)
    ways = [one for request in claim.requests for one in request.alternatives]
    names = {one.name for one in ways if one.device_class.name in bill.classes}
    return sum(result.request in names for result in results)


def _asked(bill: _Bill, alternative: Alternative) -> int:
    counts = alternative.device_class.name in bill.classes and not alternative.admin and alternative.count != ALL
    return alternative.count if counts else 0


def _queues(
    rows: Iterable[int], pods: PodTable, subgroups: SubGroupTable, podgroups: PodGroupTable, queues: Sequence[str]
) -> dict[int, str]:
    """Names of the queues of some pods, as far as those are ours."""
    found = {}
    for pod in rows:
        if pods.subgroup_idx.item(pod) == NONE:
            continue
        queue = podgroups.queue_idx.item(subgroups.podgroup_idx.item(pods.subgroup_idx.item(pod)))
        if queue >= 0:
            found[pod] = queues[queue]
    return found


def _block(
    podgroups: PodGroupTable,
    subgroups: SubGroupTable,
    pods: PodTable,
    state: np.ndarray,
    problems: dict[int, _Problem],
) -> PodGroupTable:
    """Podgroups of which everybody who waits has a problem."""
    ours = pods.subgroup_idx != NONE
    fine = set(_groups(np.flatnonzero(ours & (state == PodState.PENDING)), pods, subgroups))
    blocked: dict[int, _Problem] = {}
    for pod, problem in sorted(problems.items()):
        if pods.subgroup_idx.item(pod) == NONE:
            continue
        (group,) = _groups([pod], pods, subgroups)
        if group not in fine:
            blocked.setdefault(group, problem)
    return dataclasses.replace(podgroups, blocked={**blocked, **podgroups.blocked})


def _groups(rows: Iterable[int], pods: PodTable, subgroups: SubGroupTable) -> list[int]:
    return [subgroups.podgroup_idx.item(pods.subgroup_idx.item(row)) for row in rows]
