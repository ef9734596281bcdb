"""The books: all that is remembered, one book for each thing that it is about, and which of them read in others."""

from __future__ import annotations

from collections.abc import Mapping

from kai_py.cluster.access import AccessBook
from kai_py.cluster.around import Around
from kai_py.cluster.budgets import BudgetBook
from kai_py.cluster.claims import ClaimBook
from kai_py.cluster.classes import ClassBook
from kai_py.cluster.encode.axis import Accounting
from kai_py.cluster.failures import Failures
from kai_py.cluster.finished import FinishedBook
from kai_py.cluster.groups import GroupBook
from kai_py.cluster.held import HeldBook
from kai_py.cluster.history import HistoryBook
from kai_py.cluster.labels import LabelBook
from kai_py.cluster.layout import PodLayout
from kai_py.cluster.membership import Grouper
from kai_py.cluster.names import PodNames
from kai_py.cluster.namespaces import NamespaceBook
from kai_py.cluster.neighbours import NeighbourBook
from kai_py.cluster.nodes import NodeBook
from kai_py.cluster.owners import OwnerBook
from kai_py.cluster.phases import Assumptions
from kai_py.cluster.pod_group_claims import KIND as POD_GROUP
from kai_py.cluster.pods import PodBook
from kai_py.cluster.priorities import PriorityBook
from kai_py.cluster.queues import QueueBook
from kai_py.cluster.reading import PodReader, Stubs
from kai_py.cluster.reservations import ReservationBook
from kai_py.cluster.rollouts import RolloutBook
from kai_py.cluster.scope import Scope
from kai_py.cluster.topologies import TopologyBook
from kai_py.cluster.volumes.book import VolumeBook
from kai_py.cluster.zones import ZoneBook
from kai_py.errors import Fault


class Books:
    """All books, empty at first and wired to each other. What a change means to several of them is told by others.

    Args:
        grouper: tells which podgroup a pod belongs to.
        scope: which objects are ours.
        accounting: what queues are charged for; may be replaced at any time.

    Attributes:
        names: every pod that is remembered.
        pods, classes: those that a cycle sees, and what they ask for, each once.
        reader, layout: how pods are read, and written down.
        groups, history: podgroups, and what has happened to them.
        rollouts, finished: pods that are being replaced, and those that have succeeded.
        owners, around: of pods, and what else decides about how they are grouped.
        assumptions, failures, held: what is on its way, what was refused, and places that wait for evictions.
        claims, volumes, reservations: devices, volumes, and GPUs that pods share.
        nodes, zones, topologies: where pods can go.
        queues, access, priorities, budgets: who may go first, and who may be evicted.
        neighbours: whom affinities are about.
    """

    def __init__(self, grouper: Grouper, scope: Scope | None = None, accounting: Accounting | None = None) -> None:
        self.scope = scope or Scope()
        self.accounting = accounting or Accounting()
        labels, namespaces = LabelBook(), NamespaceBook()
        self.names = PodNames()
        self.priorities = PriorityBook()
        self.nodes = NodeBook()
        self.zones = ZoneBook()
        self.queues = QueueBook()
        self.access = AccessBook(self.queues, namespaces)
        self.claims = ClaimBook(self.scope.name)
        self.volumes = VolumeBook()
        self.reservations = ReservationBook(self.scope.name)
        self.topologies = TopologyBook(self.claims.devices)
        self.history = HistoryBook()
        self.rollouts = RolloutBook()
        self.owners = OwnerBook()
        self.finished = FinishedBook(self.owners, Stubs().of)
        self.groups = GroupBook(self.priorities, self.history, self.access, self.rollouts, self.finished)
        self.classes = ClassBook()
        self.budgets = BudgetBook(labels)
        self.neighbours = NeighbourBook(self.classes, labels, namespaces)
        self.pods = PodBook(self.classes, labels, self.groups.leaf_of, self.reservations)
        self.groups.facts = self.pods.facts
        self.around = Around(self.owners, self.topologies.topologies)
        self.claims.pod_groups.find = lambda name: self.owners.find((*POD_GROUP, *name))
        self.claims.pod_groups.served = lambda: self.around.serves(*POD_GROUP)
        self.assumptions = Assumptions()
        self.failures = Failures()
        self.held = HeldBook()
        self.reader = PodReader(grouper, self.owners, self.groups, self.failures)
        self.runtimes = self.reader.runtimes
        self.spreading = self.reader.spreading
        self.layout = PodLayout(
            self.reader,
            classes=self.classes,
            labels=labels,
            owners=self.owners,
            groups=self.groups,
            pods=self.pods,
            assumptions=self.assumptions,
            history=self.history,
            reservations=self.reservations,
        )

    @property
    def faults(self) -> Mapping[tuple[str, str], tuple[Fault, ...]]:
        """What is wrong with which object, by its kind and name, until it is mended or gone."""
        return {
            **self.reader.faults,
            **{("Node", name): faults for name, faults in self.nodes.faults.items()},
            **{("NodeResourceTopology", name): faults for name, faults in self.zones.faults.items()},
            **{("Queue", name): (fault,) for name, fault in self.queues.malformed.items()},
            **{("Topology", name): (fault,) for name, fault in self.topologies.malformed.items()},
            **{("PodGroup", "/".join(name)): (fault,) for name, fault in self.groups.malformed.items()},
            **{("ResourceSlice", name): faults for name, faults in self.claims.devices.faults.items()},
            **self.claims.faults,
            **{("PodDisruptionBudget", "/".join(name)): faults for name, faults in self.budgets.faults.items()},
        }
