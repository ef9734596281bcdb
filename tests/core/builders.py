"""Clusters in one expression: a test names what it is about, everything else has a default that does not matter.

Snapshots are built from tables, without Kubernetes objects. Sizes are in devices, cores and GiB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import inf, nan

import numpy as np

from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.resources import DEVICE, GPU, ResourceAxis
from kai_py.core.result import Bind, CycleResult, Diagnosis, Evict, Nominate, ReasonCode
from kai_py.core.tables.classes import ClassTable, NodeTerm, PodClass, PreferredTerm, Toleration
from kai_py.core.tables.devices import MILLION, Share, SharedDevices
from kai_py.core.tables.domains import ROOT as ANY_LEVEL
from kai_py.core.tables.domains import Level, Topology
from kai_py.core.tables.labels import LabelColumn, Labels
from kai_py.core.tables.nodes import NodeTable, Taint
from kai_py.core.tables.patterns import RING, Pattern
from kai_py.core.tables.podgroups import ALL, GroupKey, History, PodGroupTable, SubGroupTable
from kai_py.core.tables.pods import NONE, PodKey, PodState, PodTable
from kai_py.core.tables.queues import ROOT, QueueTable
from kai_py.core.tables.seal import seal
from kai_py.core.tables.snapshot import Snapshot
from kai_py.core.tables.topologies import TopologyTable
from kai_py.core.tables.zones import Alignment

GIB = 2**30
AXIS = ResourceAxis(
    names=("cpu", "memory", "pods", "nvidia.com/gpu"),
    accounted=("cpu", "memory", "gpu"),
    accounting=np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]),
    quantum=np.array([1.0, 1.0, DEVICE]),
    gpus=frozenset({"nvidia.com/gpu"}),
)
GPUS = AXIS.accounted.index(GPU)
#: Per queue: one number is about GPUs and leaves the rest unlimited; three are cores, GiB and devices.
PerResource = float | tuple[float, float, float]


@dataclass(frozen=True)
class Node:
    gpus: int = 8
    cpu: float = 128
    memory: int = 1024
    pods: int = 110
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Taint] = ()
    ready: bool = True
    cordoned: bool = False
    gpu_memory: int = 100


@dataclass(frozen=True)
class Queue:
    parent: str = ""
    quota: PerResource = inf
    limit: PerResource = inf
    weight: float = 1.0
    priority: int = 100
    created: float | None = None
    usage: float = 0.0
    preempt_min_runtime: float = nan
    reclaim_min_runtime: float = nan


@dataclass(frozen=True)
class Pod:
    """Pending, or bound when it is ``on`` a node, unless ``state`` says otherwise."""

    gpus: float = 1
    cpu: float = 0
    memory: int = 0
    on: str | None = None
    state: PodState | None = None
    task_priority: int = -(2**62)
    created: float | None = None
    node_name: str = ""
    selector: tuple[tuple[str, str], ...] = ()
    required: tuple[NodeTerm, ...] | None = None
    preferred: tuple[PreferredTerm, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    excluded: frozenset[str] = frozenset()
    share: Share | None = None
    groups: tuple[str, ...] = ()
    rank: int = NONE
    alignment: Alignment | None = None

    def pod_class(self) -> PodClass:
        request = (round(self.cpu * 1000), self.memory * GIB, 1, round(self.gpus * DEVICE))
        shared = {f.name for f in fields(PodClass)} & {f.name for f in fields(self)}
        return PodClass(request, **{name: getattr(self, name) for name in shared})


@dataclass(frozen=True)
class Sub:
    """A subgroup: a leaf with pods, or an inner one with ``children``; it may ask for levels of the topology."""

    pods: int | Sequence[Pod] = ()
    minimum: int | None = None
    children: Mapping[str, Sub] = field(default_factory=dict)
    min_subgroups: int = ALL
    required: str = ""
    preferred: str = ""
    topology: str = "dc"

    def members(self) -> Sequence[Pod]:
        return [Pod()] * self.pods if isinstance(self.pods, int) else self.pods


@dataclass(frozen=True)
class Gang(Sub):
    """A podgroup; all its pods are its minimum unless told otherwise. Times are seconds since the epoch."""

    queue: str = "q"
    priority: int = 50
    preemptible: bool = True
    created: float | None = None
    blocked: ReasonCode | None = None
    started: float = -inf
    stale_since: float = inf
    grace: float = nan
    delay: float = 0.0
    finishing: bool = False
    never: bool = False
    evicted: float = -inf
    checkpointed: float = -inf
    pattern: Pattern = RING
    whole: bool = False
    floor: tuple[tuple[str, int], ...] = ()


def running(on: str, gpus: float = 1, **what: object) -> Pod:
    return Pod(gpus, on=on, **what)


def sharing(fraction: float = 0.0, *groups: str, memory: int = 0, devices: int = 1, **what: object) -> Pod:
    """A pod with a share of GPUs; its ``groups`` are the devices that it is on, if it is ``on`` a node."""
    share = Share(round(fraction * MILLION), memory, devices)
    return Pod(0, share=share, groups=groups, **what)


def leaving(on: str, gpus: float = 1, **what: object) -> Pod:
    return Pod(gpus, on=on, state=PodState.RELEASING, **what)


def cluster(
    *,
    nodes: Mapping[str, int | Node],
    gangs: Mapping[str, int | Gang] | None = None,
    queues: Mapping[str, Queue] | None = None,
    foreign: Mapping[str, Pod] | None = None,
    now: float = 1_000_000.0,
    levels: Sequence[str] = ("zone", "rack"),
    others: Mapping[str, Sequence[str]] | None = None,
) -> Snapshot:
    """A sealed snapshot. A node may be given as its GPUs, a gang as its number of one-GPU pods.

    Queues and podgroups are as old as their place in the mapping says; one queue ``q`` exists when none is named.
    Pods are called after their podgroup, subgroup and number: ``gang-0``, ``gang-workers-1``. ``levels`` are node
    labels, from the widest; they matter when some gang asks for one. They are those of the topology ``dc``; ``others``
    have levels of their own.
    """
    queues = queues or {"q": Queue()}
    node_table = _nodes({name: Node(node) if isinstance(node, int) else node for name, node in nodes.items()})
    groups = {name: Gang(gang) if isinstance(gang, int) else gang for name, gang in (gangs or {}).items()}
    queue_table = _queues(queues)
    podgroups, subgroups, pods, tree = _podgroups(groups, queue_table.names)
    pods += [(name, pod, NONE, 0.0) for name, pod in (foreign or {}).items()]
    pods.sort(key=lambda entry: entry[0])
    classes, pod_table = _pods(pods, node_table.names)
    memory = [node.gpu_memory if isinstance(node, Node) else Node.gpu_memory for _, node in sorted(nodes.items())]
    snapshot = Snapshot(
        now=now,
        axis=AXIS,
        nodes=node_table,
        classes=classes,
        pods=pod_table,
        podgroups=podgroups,
        subgroups=subgroups,
        queues=queue_table,
        devices=_devices(pods, memory),
        topologies=_topologies(tree, node_table, {"dc": levels, **(others or {})}, len(podgroups)),
    )
    return seal(snapshot)


def _topologies(
    tree: Sequence[_Branch], nodes: NodeTable, levels: Mapping[str, Sequence[str]], podgroups: int
) -> TopologyTable | None:
    if not any(sub.required or sub.preferred for *_, sub in tree):
        return None
    topologies = [
        Topology.of(name, [Level(key) for key in keys], [nodes.labels.column(key) for key in keys], nodes.names)
        for name, keys in sorted(levels.items())
    ]
    row_of = {topology.name: row for row, topology in enumerate(topologies)}
    subs = [sub for *_, sub in tree]
    asking = [row_of[sub.topology] if sub.required or sub.preferred else NONE for sub in subs]

    def rows(named: Sequence[str]) -> np.ndarray:
        of = [levels[sub.topology] for sub in subs]
        found = [keys.index(level) if level else ANY_LEVEL for keys, level in zip(of, named, strict=True)]
        return np.array(found, dtype=np.int32)

    fixed = np.zeros(podgroups, dtype=np.bool_)
    fixed[[podgroup for _, podgroup, _, sub in tree if sub.required]] = True
    return TopologyTable(
        topologies=tuple(topologies),
        topology_idx=np.array(asking, dtype=np.int32),
        required=rows([sub.required for sub in subs]),
        preferred=rows([sub.preferred for sub in subs]),
        fixed=fixed,
        patterns={row: sub.pattern for _, row, _, sub in tree if isinstance(sub, Gang) and sub.pattern != RING},
    )


def _devices(pods: Sequence[_Entry], memory: Sequence[int]) -> SharedDevices | None:
    if not any(pod.share for _, pod, _, _ in pods):
        return None
    groups = {row: pod.groups for row, (_, pod, _, _) in enumerate(pods) if pod.groups}
    return SharedDevices(AXIS.index["nvidia.com/gpu"], np.array(memory, dtype=np.int64), groups)


def _nodes(nodes: Mapping[str, Node]) -> NodeTable:
    names = tuple(sorted(nodes))
    rows = [nodes[name] for name in names]
    taints = tuple(dict.fromkeys(taint for node in rows for taint in node.taints))
    columns = {}
    for key in sorted({key for node in rows for key in node.labels}):
        values = sorted({node.labels[key] for node in rows if key in node.labels})
        numbers = {value: number for number, value in enumerate(values, start=1)}
        codes = [numbers[node.labels[key]] if key in node.labels else 0 for node in rows]
        columns[key] = LabelColumn(np.array(codes, dtype=np.int32), numbers)
    sizes = [(round(node.cpu * 1000), node.memory * GIB, node.pods, node.gpus * DEVICE) for node in rows]
    return NodeTable(
        names=names,
        allocatable=np.array(sizes, dtype=np.int64).reshape(len(rows), len(AXIS)),
        ready=np.array([node.ready for node in rows], dtype=np.bool_),
        cordoned=np.array([node.cordoned for node in rows], dtype=np.bool_),
        labels=Labels(columns, len(rows)),
        taints=taints,
        tainted=np.array([[taint in node.taints for taint in taints] for node in rows], dtype=np.bool_).reshape(
            len(rows), len(taints)
        ),
    )


def _queues(queues: Mapping[str, Queue]) -> QueueTable:
    names = tuple(sorted(queues))
    rows = [queues[name] for name in names]
    age = {name: float(number) for number, name in enumerate(queues)}
    return QueueTable(
        names=names,
        uids=names,
        parent=np.array([names.index(queue.parent) if queue.parent else ROOT for queue in rows], dtype=np.int32),
        priority=np.array([queue.priority for queue in rows], dtype=np.int32),
        created=np.array(
            [age[name] if queue.created is None else queue.created for name, queue in zip(names, rows, strict=True)]
        ),
        quota=np.array([_per_resource(queue.quota) for queue in rows]),
        limit=np.array([_per_resource(queue.limit) for queue in rows]),
        weight=np.array([[queue.weight] * 3 for queue in rows]),
        usage=np.array([[queue.usage] * 3 for queue in rows]),
        preempt_min_runtime=np.array([queue.preempt_min_runtime for queue in rows]),
        reclaim_min_runtime=np.array([queue.reclaim_min_runtime for queue in rows]),
    )


def _per_resource(value: PerResource) -> tuple[float, float, float]:
    cpu, memory, gpus = value if isinstance(value, tuple) else (inf, inf, value)
    return cpu * 1000, memory * GIB, gpus * DEVICE


#: A pod's name, what it is, its leaf's row, and its podgroup's age.
_Entry = tuple[str, Pod, int, float]
#: A subgroup's name, its podgroup's row, its parent's row, and what it is.
_Branch = tuple[str, int, int, Sub]


def _podgroups(
    gangs: Mapping[str, Gang], queue_names: Sequence[str]
) -> tuple[PodGroupTable, SubGroupTable, list[_Entry], list[_Branch]]:
    names = tuple(sorted(gangs))
    rows = [gangs[name] for name in names]
    queue_row = {name: row for row, name in enumerate(queue_names)}
    age = {name: float(number) for number, name in enumerate(gangs)}
    created = [age[name] if gang.created is None else gang.created for name, gang in zip(names, rows, strict=True)]
    tree: list[_Branch] = []
    offset, pods = [0], []
    for row, (name, gang) in enumerate(zip(names, rows, strict=True)):
        for prefix, leaf in _grow(tree, gang, "", row, ROOT, name):
            members = tree[leaf][3].members()
            width = len(str(max(len(members) - 1, 0)))
            pods += [(f"{prefix}-{n:0{width}}", pod, leaf, created[row]) for n, pod in enumerate(members)]
        offset.append(len(tree))
    podgroups = PodGroupTable(
        keys=tuple(GroupKey("ns", name, name) for name in names),
        queue_idx=np.array([queue_row.get(gang.queue, NONE) for gang in rows], dtype=np.int32),
        priority=np.array([gang.priority for gang in rows], dtype=np.int32),
        preemptible=np.array([gang.preemptible for gang in rows], dtype=np.bool_),
        created=np.array(created, dtype=np.float64),
        blocked={row: (gang.blocked, {}) for row, gang in enumerate(rows) if gang.blocked is not None},
        offset=np.array(offset, dtype=np.int32),
        history=_history(rows),
        whole=frozenset(row for row, gang in enumerate(rows) if gang.whole),
        floors={row: gang.floor for row, gang in enumerate(rows) if gang.floor},
    )
    return podgroups, _subgroups(tree), pods, tree


def _history(gangs: Sequence[Gang]) -> History:
    def column(name: str) -> np.ndarray:
        return np.array([getattr(gang, name) for gang in gangs], dtype=np.float64)

    return History(
        started=column("started"),
        stale_since=column("stale_since"),
        grace=column("grace"),
        delay=column("delay"),
        finishing=np.array([gang.finishing for gang in gangs], dtype=np.bool_),
        never_preempts=np.array([gang.never for gang in gangs], dtype=np.bool_),
        evicted=column("evicted"),
        checkpointed=column("checkpointed"),
    )


def _grow(
    tree: list[_Branch], sub: Sub, name: str, podgroup: int, parent: int, prefix: str
) -> Iterator[tuple[str, int]]:
    """Append a subgroup and all below it to ``tree``; yields the leaves with the prefix of their pods' names."""
    row = len(tree)
    tree.append((name, podgroup, parent, sub))
    if not sub.children:
        yield prefix, row
    for child in sorted(sub.children):
        yield from _grow(tree, sub.children[child], child, podgroup, row, f"{prefix}-{child}")


def _subgroups(tree: Sequence[_Branch]) -> SubGroupTable:
    leaf = [not sub.children for *_, sub in tree]
    minimum = [len(sub.members()) if sub.minimum is None else sub.minimum for *_, sub in tree]
    return SubGroupTable(
        names=tuple(name for name, *_ in tree),
        podgroup_idx=np.array([podgroup for _, podgroup, _, _ in tree], dtype=np.int32),
        parent=np.array([parent for _, _, parent, _ in tree], dtype=np.int32),
        leaf=np.array(leaf, dtype=np.bool_),
        min_member=np.array([m if is_leaf else 0 for m, is_leaf in zip(minimum, leaf, strict=True)], dtype=np.int32),
        min_subgroups=np.array(
            [0 if is_leaf else sub.min_subgroups for (*_, sub), is_leaf in zip(tree, leaf, strict=True)], dtype=np.int32
        ),
    )


def _pods(pods: Sequence[_Entry], node_names: Sequence[str]) -> tuple[ClassTable, PodTable]:
    node_row = {name: row for row, name in enumerate(node_names)}
    of_pod: dict[int, PodClass] = {}
    numbers: dict[PodClass, int] = {}
    class_idx = []
    for _, pod, _, _ in pods:
        # Most pods of a large cluster are one and the same object.
        pod_class = of_pod.setdefault(id(pod), of_pod.get(id(pod)) or pod.pod_class())
        class_idx.append(numbers.setdefault(pod_class, len(numbers)))
    request = np.array([pod_class.request for pod_class in numbers], dtype=np.int64).reshape(-1, len(AXIS))
    accounted = request @ AXIS.accounting
    for row, one in enumerate(numbers):
        accounted[row, GPUS] += one.share.portion(Node.gpu_memory) if one.share else 0
    classes = ClassTable(tuple(numbers), request, accounted)
    return classes, PodTable(
        keys=tuple(PodKey("ns", name, name) for name, *_ in pods),
        class_idx=np.array(class_idx, dtype=np.int32),
        subgroup_idx=np.array([leaf for _, _, leaf, _ in pods], dtype=np.int32),
        node_idx=np.array([node_row.get(pod.on or "", NONE) for _, pod, _, _ in pods], dtype=np.int32),
        state=np.array([_state(pod) for _, pod, _, _ in pods], dtype=np.uint8),
        task_priority=np.array([pod.task_priority for _, pod, _, _ in pods], dtype=np.int64),
        created=np.array([age if pod.created is None else pod.created for _, pod, _, age in pods], dtype=np.float64),
        rank=np.array([pod.rank for _, pod, _, _ in pods], dtype=np.int32),
    )


def _state(pod: Pod) -> PodState:
    if pod.state is not None:
        return pod.state
    return PodState.PENDING if pod.on is None else PodState.BOUND


def decide(snapshot: Snapshot, **options: object) -> CycleResult:
    """One cycle, with a clock that stands still."""
    return run_cycle(snapshot, Options(**options), clock=lambda: 0.0)


def bound(result: CycleResult) -> dict[str, str]:
    """Pod name -> node, of those that start now."""
    return {d.pod.removeprefix("ns/"): d.node for d in result.decisions if isinstance(d, Bind)}


def nominated(result: CycleResult) -> dict[str, str]:
    """Pod name -> node, of those that have a place on capacity yet to be released."""
    return {d.pod.removeprefix("ns/"): d.node for d in result.decisions if isinstance(d, Nominate)}


def evicted(result: CycleResult) -> dict[str, str]:
    """Pod name -> podgroup that it has to go for, empty if for nobody; of those that find no other place."""
    lost = (d for d in result.decisions if isinstance(d, Evict) and not d.moved)
    return {d.pod.removeprefix("ns/"): (d.preemptor or "").removeprefix("ns/") for d in lost}


def moved(result: CycleResult) -> dict[str, str]:
    """Pod name -> the node it moves to."""
    movers = {d.pod.removeprefix("ns/") for d in result.decisions if isinstance(d, Evict) and d.moved}
    return {pod: node for pod, node in nominated(result).items() if pod in movers}


def waiting(result: CycleResult) -> dict[str, Diagnosis]:
    """Podgroup name -> why it waits."""
    return {diagnosis.podgroup.removeprefix("ns/"): diagnosis for diagnosis in result.diagnoses}


def codes(result: CycleResult) -> dict[str, ReasonCode]:
    """Podgroup name -> the first reason why it waits."""
    return {name: diagnosis.reasons[0].code for name, diagnosis in waiting(result).items()}
