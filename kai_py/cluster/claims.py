"""Claims on devices: objects as they were read, and the table that a snapshot has of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kai_py.api.meta import ObjectMeta
from kai_py.api.pod import NodeClaimStatus, Pod
from kai_py.api.resource import Allocation, Consumer, DeviceClass, DeviceClassSpec, ResourceClaim, ResourceClaimStatus
from kai_py.cluster.claim_objects import ClaimObjects, Name
from kai_py.cluster.claim_prices import PriceList
from kai_py.cluster.claim_problems import ClaimProblems, invalid
from kai_py.cluster.claim_rows import NEW, ClaimRows
from kai_py.cluster.devices.amounts import quantity
from kai_py.cluster.devices.book import DeviceBook
from kai_py.cluster.devices.claims import ClaimReader
from kai_py.cluster.devices.results import written
from kai_py.cluster.encode.axis import Accounting
from kai_py.cluster.encode.times import rfc3339
from kai_py.cluster.extended_needs import ExtendedNeeds, Offer
from kai_py.cluster.extended_rows import UNNAMED, SpecialRows
from kai_py.cluster.held_back import Problem, hold_back, queues_of
from kai_py.cluster.laid import LaidClaims, Shelf
from kai_py.cluster.needs import Needs, needs_of, split
from kai_py.cluster.node_takes import NodeTakes
from kai_py.cluster.pod_group_claims import PodGroupClaims, is_pod_group
from kai_py.cluster.shares.book import ShareBook
from kai_py.cluster.through_pod_groups import ThroughPodGroups
from kai_py.core.dra.allocation import ClaimAllocation
from kai_py.core.dra.node_shares import OfNode
from kai_py.core.dra.selectors import Selector
from kai_py.core.dra.table import ClaimTable
from kai_py.core.resources import ResourceAxis
from kai_py.core.result import Bind, Granted
from kai_py.core.tables.classes import ClassTable
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.podgroups import PodGroupTable, SubGroupTable
from kai_py.core.tables.pods import PodKey, PodTable
from kai_py.errors import Fault, MalformedObjectError

#: Whenever there are so many more pods that are over, those are looked for that do not matter any more.
_OVER: Final = 1024


#: What devices take of a node: claims, ``namespace/name``, with (resource, billionths of its unit).
OfNodes = tuple[tuple[str, OfNode], ...]


@dataclass(frozen=True)
class Tables:
    """The tables of a snapshot with claims worked in."""

    pods: PodTable
    podgroups: PodGroupTable
    classes: ClassTable
    nodes: NodeTable
    claims: ClaimTable | None


class ClaimBook:
    """All ResourceClaims and what they are made of, and which pods need them.

    Args:
        owner: who we are, for the mark on allocations of ours.

    Attributes:
        devices: ResourceSlices and taint rules.
        objects: the claims themselves.
        served: whether the API server has claims at all.
        extended: extended resources that are devices.
        pod_groups: what pods use through their PodGroups.
    """

    def __init__(self, owner: str = "") -> None:
        self.devices = DeviceBook()
        #: Whoever carries decisions out can make claims for extended resources.
        self.follows_extended = False
        self.served: Callable[[], bool] = lambda: True
        self._uids: set[str] = set()
        self.objects = ClaimObjects(self._uids, owner)
        self._reader = ClaimReader(_compiled)
        self._laid = LaidClaims(self._reader, self.objects.by_name)
        self.objects.changed = self._laid.changed
        self._classes: dict[str, DeviceClassSpec] = {}
        self._class_faults: dict[str, tuple[Fault, ...]] = {}
        #: Pods whose claim is the part of GPUs that they ask for by annotation.
        self.shares = ShareBook(self.devices, self._reader.device_class)
        self.pod_groups = PodGroupClaims()
        self._needs: dict[PodKey, Needs] = {}
        #: Pods whose status says what devices take of their nodes.
        self._told: set[PodKey] = set()
        self.extended = ExtendedNeeds(self._reader)
        #: Claims that were made for pods whose status may not say so yet.
        self._special: dict[PodKey, Name] = {}
        #: Pods that are over, as long as claims may be reserved for them.
        self._over: set[str] = set()
        self._prices = PriceList(self._reader.device_class, self.devices.memo)
        served = lambda: self.served()  # noqa: E731, PLW0108  # whoever knows it says so later
        self._problems = ClaimProblems(self.objects.by_name, self._laid, self.pod_groups, self.shares, served)

    @property
    def malformed(self) -> tuple[int, int]:
        """How many DeviceClasses and how many ResourceClaims cannot be understood; may be asked in any thread."""
        return len(self._class_faults), len(self._laid.faults)

    @property
    def faults(self) -> dict[tuple[str, str], tuple[Fault, ...]]:
        """Of DeviceClasses and ResourceClaims, by kind and name."""
        of_classes = {("DeviceClass", name): faults for name, faults in self._class_faults.items()}
        of_claims = {("ResourceClaim", "/".join(name)): faults for name, faults in self._laid.faults.items()}
        return of_classes | of_claims

    def put_class(self, found: DeviceClass) -> bool:
        """Take in a DeviceClass; one that cannot be read is as if it were not there. Tells whether anything changed."""
        name = found.metadata.name
        if self._classes.get(name) == found.spec:
            return False
        self._classes[name] = found.spec
        self._class_faults.pop(name, None)
        try:
            self._reader.put_class(found)
        except MalformedObjectError as error:
            self._class_faults[name] = error.faults
        self.extended.resources.put(found)
        self._classes_changed()
        return True

    def drop_class(self, name: str) -> bool:
        """Forget a DeviceClass; tells whether it was known. What was allocated by it stays."""
        if self._classes.pop(name, None) is None:
            return False
        self._class_faults.pop(name, None)
        self._reader.drop_class(name)
        self.extended.resources.drop(name)
        self._classes_changed()
        return True

    def _classes_changed(self) -> None:
        self._laid.forget()
        self.extended.changed()
        self._prices.forget()

    def put(self, claim: ResourceClaim) -> bool:
        """Take in a claim as the watch shows it; tells whether anything that matters changed."""
        return self.objects.put(claim)

    def drop(self, name: Name) -> bool:
        """Forget a claim; tells whether it was known."""
        return self.objects.drop(name)

    # -- pods --------------------------------------------------------------------------------------

    def see(self, key: PodKey, pod: Pod) -> bool:
        """Take in a pod that holds capacity, or wants some; tells whether it needs anything else than before."""
        if self.follows_extended:
            self.extended.see(key, pod)
        if not pod.spec.resource_claims and pod.status.extended_resource_claim_status is None:
            return bool(self._needs) and self._drop_needs(key, over=False)
        needs = needs_of(pod)
        before = self._needs.get(key)
        self._needs[key] = needs
        self.pod_groups.see(key, needs)
        self._uids.add(key.uid)
        self.shares.see(key, pod)
        if needs.of_node:
            self._told.add(key)
        elif self._told:
            self._told.discard(key)
        return needs != before

    def forget(self, key: PodKey, *, over: bool = False) -> bool:
        """A pod does not matter any more; tells whether it did. Once it is over, what it has is about to be free."""
        self.extended.forget(key)
        self._special.pop(key, None)
        known = self._drop_needs(key, over=over)
        if known and over:
            self._over.add(key.uid)
            if len(self._over) % _OVER == 0:
                self._forget_over()  # who stands by takes no snapshots
        return known

    def _drop_needs(self, key: PodKey, *, over: bool) -> bool:
        if (needs := self._needs.pop(key, None)) is None:
            return False
        self.pod_groups.forget(key, needs, over=over)
        self._uids.discard(key.uid)
        self._told.discard(key)
        self.shares.forget(key)
        return True

    def _forget_over(self) -> None:
        """Forget pods for which nothing is reserved any more."""
        self._over &= {one.uid for claim in self.objects.by_name.values() for one in claim.status.reserved_for}

    def consumers(self, name: Name, pods: Iterable[PodKey]) -> tuple[Consumer, ...]:
        """For whom a claim is reserved when pods use it: for them or, each once, their PodGroups."""
        found = (self.pod_groups.consumer(key, self._needs.get(key, _NO_NEEDS), name) for key in pods)
        return tuple({one.uid: one for one in found}.values())

    def needed_by(self, key: PodKey) -> tuple[Name, ...]:
        """The claims of a pod, each once."""
        needs = self._needs.get(key)
        claims = needs.claims if needs is not None else ()
        special = self._special.get(key)
        return claims if special is None or special in claims else (*claims, special)

    def unchanged(self, key: PodKey) -> bool:
        """Whether all claims of a pod have just the devices that they had, or had not, in the last snapshot."""
        return all(map(self.objects.unchanged, self.needed_by(key)))

    # -- decisions ---------------------------------------------------------------------------------

    def assume(self, bind: Bind, key: PodKey, now: float) -> None:
        """A pod is sent off with its claims: those for which it brings devices count as having them."""
        for granted in bind.claims:
            assert isinstance(granted.allocation, ClaimAllocation)
            made = written(granted.allocation, uid=granted.uid, timestamp=rfc3339(now))
            if granted.extended and not granted.uid:
                self._promise(split(granted.claim), made)
            else:
                self.objects.assume(split(granted.claim), granted.uid, made)
        for name in self.needed_by(key):
            self.objects.join(name, key)
            self.pod_groups.taken_up(name)

    def _promise(self, name: Name, allocation: Allocation) -> None:
        """A claim that has yet to be made has these devices already, under a name that no claim can have."""
        namespace, own = name
        self.objects.put(ResourceClaim(ObjectMeta(own, namespace=namespace), status=ResourceClaimStatus(allocation)))

    def made(self, key: PodKey, claim: ResourceClaim, granted: Granted, now: float) -> None:
        """A claim on a pod's extended resources exists now, and is about to get the devices that were decided."""
        assert isinstance(granted.allocation, ClaimAllocation)
        self.objects.drop(split(granted.claim))
        self.objects.put(claim)
        self._special[key] = claim.metadata.key
        allocation = written(granted.allocation, uid=claim.metadata.uid, timestamp=rfc3339(now))
        self.objects.assume(claim.metadata.key, claim.metadata.uid, allocation)
        self.objects.join(claim.metadata.key, key)

    def special(self, key: PodKey) -> Name | None:
        """The claim that was made for a pod's extended resources."""
        needs = self._needs.get(key)
        return self._special.get(key) or (needs.extended if needs is not None else None)

    def has_to_tell(self, key: PodKey, of_node: OfNodes) -> bool:
        """Whether a pod's status has to say what devices take of its node, or says something from an earlier start."""
        needs = self._needs.get(key)
        return bool(of_node) or (needs is not None and bool(needs.of_node))

    def takes_told(self, key: PodKey, of_node: OfNodes) -> tuple[NodeClaimStatus, ...]:
        """What a pod's status has to say about what devices take of its node, as kube-scheduler writes it."""
        needs = self._needs.get(key, _NO_NEEDS)
        return tuple(
            NodeClaimStatus(
                split(claim)[1],
                needs.containers(split(claim)),
                {resource: quantity(units) for resource, units in part},
            )
            for claim, part in sorted(of_node)
        )

    def release(self, key: PodKey) -> None:
        """It is not, after all."""
        if self.follows_extended:
            self.objects.drop((key.namespace, f"{key.name}{UNNAMED}"))
        for name in self.needed_by(key):
            self.objects.release(name, key)

    def unused(self, waits: Callable[[PodKey], bool]) -> Iterator[Name]:
        """Claims that we have allocated and that nobody holds.

        They are reserved for nobody, or only for pods that wait, and for PodGroups of which all pods wait or are gone.

        Args:
            waits: whether a pod waits, and nothing is on its way for it.
        """
        waiting = {key.uid for key in self._needs if waits(key)}
        for name, claim in self.objects.by_name.items():
            if claim.status.allocation is None or self.objects.unwritten(name) is not None:
                continue
            if self.objects.ours(claim) and all(
                self.pod_groups.idle(name, one) if is_pod_group(one) else one.uid in waiting
                for one in claim.status.reserved_for
            ):
                yield name

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
        accounting: Accounting,
    ) -> Tables:
        """Work claims into the tables; the very same tables come back where no pod has any.

        Pods whose claims cannot be served are held back, see :func:`kai_py.cluster.held_back.hold_back`.
        """
        self.objects.note()
        inventory = self.devices.inventory(nodes)
        offer = self.extended.offer(nodes, axis, inventory, self.devices.memo)
        row_of = self._rows_of_pods(pods, offer)
        if not row_of:
            return Tables(pods, podgroups, classes, nodes, None)
        prices = self._prices.at(inventory, axis, accounting)
        shelf = self._laid.at(inventory, prices)
        special = SpecialRows(shelf)
        problems: dict[int, Problem] = {}
        of_pod: dict[int, tuple[int, ...]] = {}
        queue_of = queues_of(row_of.values(), pods, subgroups, podgroups, queues)
        row_of_claim = shelf.row_of
        states: list[int] = pods.state.tolist()
        through = self._through(shelf)
        for key, row in row_of.items():
            needs = self._needs.get(key, _NO_NEEDS)
            problem = self._problems.of(needs, shelf, queue_of.get(row)) if states[row] in NEW else None
            wanted = self.extended.wanted(key, offer, axis, prices) if offer is not None else None
            if wanted is not None and wanted.fault is not None:
                problem = problem or invalid((key.namespace, f"{key.name} (extended resources)"), wanted.fault)
            if problem is not None and states[row] in NEW:
                problems[row] = problem
                continue
            rows = [row_of_claim[name] for name in needs.claims if name in row_of_claim]
            if wanted is not None and wanted.fault is None:
                rows = special.with_special(rows, key, self.special(key), wanted)
            of_pod[row] = tuple(rows)
            if through is not None:
                through.put(row, needs, [(row_of_claim[name], name) for name in needs.claims if name in row_of_claim])
        if self._over:
            self._forget_over()
        takes = None
        if inventory.of_nodes or self._told:
            of_rows = {row: self._needs[key] for key, row in row_of.items() if key in self._needs}
            takes = NodeTakes(special.claims, of_pod, of_rows, pods, axis)
        made = ClaimRows(special.claims, of_pod, pods, self._prices.bills, self._over, takes, through)
        classes, class_idx = made.classes(classes, axis.accounting)
        pods, podgroups = hold_back(dataclasses.replace(pods, class_idx=class_idx), podgroups, subgroups, problems)
        counted = self._prices.count(nodes, axis, offer)
        table = made.table(inventory, counted, self.devices.memo, self.devices.refusals)
        offered = nodes if offer is None else offer.nodes
        return Tables(pods, podgroups, classes, offered, table)

    def _through(self, shelf: Shelf) -> ThroughPodGroups | None:
        """Who uses claims through PodGroups; None where nobody does, and none is reserved for one."""
        reserved = [(claim.name, uid) for claim in shelf.claims for uid in claim.pod_groups]
        self.pod_groups.retain(reserved)
        if not self.pod_groups and not reserved:
            return None
        return ThroughPodGroups(self.pod_groups, lambda name: self.objects.ours(self.objects.by_name[name]))

    def _rows_of_pods(self, pods: PodTable, offer: Offer | None) -> dict[PodKey, int]:
        """Rows of pods that need claims, or may need some, in order."""
        needs = self._needs
        if offer is not None:
            asking = needs.keys() | self.extended.pods
            return {key: row for row, key in enumerate(pods.keys) if key in asking}
        return {key: row for row, key in enumerate(pods.keys) if key in needs} if needs else {}


_NO_NEEDS: Final = Needs()


def _compiled(expression: str) -> Selector:
    """A selector of a CEL expression. The language is an eighth of the program's start, so it comes with its first use.

    Raises:
        SelectorError: see :func:`kai_py.core.dra.expressions.compile_selector`.
    """
    from kai_py.core.dra.expressions import compile_selector  # noqa: PLC0415  # most clusters never need it

    return compile_selector(expression)
