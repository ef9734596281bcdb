"""Allocation pod by pod and node by node, for one queue without limits and for podgroups without subgroups.

No arrays, no caches, no incremental anything: every pod looks at every node again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kai_py.core.options import DEFAULT_WEIGHTS
from kai_py.core.tables.classes import NodeTerm, PodClass, Requirement
from kai_py.core.tables.nodes import Taint
from kai_py.core.tables.pods import NONE, PodState
from kai_py.core.tables.snapshot import Snapshot

GPU = 3
CPU = 0


@dataclass
class Place:
    """One node, in plain numbers."""

    name: str
    size: list[int]
    idle: list[int]
    leaving: list[int]
    labels: dict[str, str]
    taints: list[Taint]
    ready: bool
    cordoned: bool

    def later(self) -> list[int]:
        return [a + b for a, b in zip(self.idle, self.leaving, strict=True)]


@dataclass
class Job:
    name: str
    minimum: int
    key: tuple[object, ...]
    running: int
    #: (order, name, class) of pods that wait.
    queue: list[tuple[tuple[object, ...], str, PodClass]]
    placed: int = 0
    started: int = 0
    given_up: set[PodClass] = field(default_factory=set)


def allocate(snapshot: Snapshot) -> tuple[dict[str, str], dict[str, str]]:
    """Pod -> node of those that start, and of those that wait for capacity to be released."""
    places, jobs = _places(snapshot), _jobs(snapshot)
    starting: dict[str, str] = {}
    waiting: dict[str, str] = {}
    while jobs:
        job = min(jobs, key=_rank)
        step = _next(job)
        if not step:
            jobs.remove(job)
            continue
        before = job.running + job.started
        core = job.running + job.placed < job.minimum
        found = _seat(places, [pod_class for _, _, pod_class in step])
        if found is None:
            if core:
                jobs.remove(job)
            else:
                job.given_up.add(step[0][2])
            continue
        now = [is_now for _, is_now in found]
        whole = before + sum(now) >= job.minimum if core else before >= job.minimum
        for entry, (place, is_now) in zip(step, found, strict=True):
            starts = whole and is_now
            _take(place, entry[2], starts)
            (starting if starts else waiting)[entry[1]] = place.name
            job.started += starts
            job.placed += 1
            job.queue.remove(entry)
    return starting, waiting


def _rank(job: Job) -> tuple[object, ...]:
    have = job.running + job.placed
    broken = job.running > 0 and have < job.minimum
    stage = 0 if broken else 1 if have < job.minimum else 2 if have == job.minimum else 3
    return (job.key[0], stage, *job.key[1:])


def _next(job: Job) -> list[tuple[tuple[object, ...], str, PodClass]]:
    missing = job.minimum - job.running - job.placed
    if missing > 0:
        return job.queue[:missing] if len(job.queue) >= missing else []
    return [entry for entry in job.queue if entry[2] not in job.given_up][:1]


def _seat(places: list[Place], classes: list[PodClass]) -> list[tuple[Place, bool]] | None:
    """Seats for all, or for none; leaves the places as they were."""
    found: list[tuple[Place, bool]] = []
    for pod_class in classes:
        fitting = [place for place in places if _allowed(place, pod_class) and _fits(pod_class, place.later())]
        if fitting:
            best = max(fitting, key=lambda place: (_score(place, pod_class, places), _Reversed(place.name)))
            found.append((best, _fits(pod_class, best.idle)))
            _take(*found[-1][:1], pod_class, found[-1][1])
        else:
            break
    for (place, is_now), pod_class in zip(found, classes, strict=False):
        _take(place, pod_class, is_now, back=True)
    return found if len(found) == len(classes) else None


class _Reversed(str):
    """Sorts the other way round: the first name wins among equals."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)

    def __gt__(self, other: str) -> bool:
        return str.__lt__(self, other)


def _take(place: Place, pod_class: PodClass, is_now: bool, *, back: bool = False) -> None:
    pool = place.idle if is_now else place.leaving
    for r, amount in enumerate(pod_class.request):
        pool[r] += amount if back else -amount


def _fits(pod_class: PodClass, room: list[int]) -> bool:
    return all(asked == 0 or asked <= left for asked, left in zip(pod_class.request, room, strict=True))


def _allowed(place: Place, pod: PodClass) -> bool:
    if not place.ready or place.name in pod.excluded or pod.node_name not in ("", place.name):
        return False
    if any(place.labels.get(key) != value for key, value in pod.selector):
        return False
    if pod.required is not None and not any(_matches(place, term) for term in pod.required):
        return False
    taints = [*place.taints]
    if place.cordoned:
        taints.append(Taint("node.kubernetes.io/unschedulable", "", "NoSchedule"))
    return all(_tolerates(pod, taint) for taint in taints if taint.effect != "PreferNoSchedule")


def _matches(place: Place, term: NodeTerm) -> bool:
    def holds(requirement: Requirement, value: str | None) -> bool:
        match requirement.operator:
            case "In":
                return value in requirement.values
            case "NotIn":
                return value not in requirement.values
            case "Exists":
                return value is not None
        return value is None

    if not term.labels and not term.names:
        return False
    return all(holds(r, place.labels.get(r.key)) for r in term.labels) and all(holds(r, place.name) for r in term.names)


def _tolerates(pod: PodClass, taint: Taint) -> bool:
    return any(
        toleration.effect in ("", taint.effect)
        and toleration.key in ("", taint.key)
        and (toleration.operator == "Exists" or toleration.value == taint.value)
        for toleration in pod.tolerations
    )


def _score(place: Place, pod: PodClass, places: list[Place]) -> float:
    """The default weights, best value 1 for each part."""
    column = GPU if pod.request[GPU] else CPU
    largest = max(1, *(other.size[column] for other in places))
    packed = min(max(1.0 - place.later()[column] / largest, 0.0), 1.0)
    worth = {id(p): sum(t.weight for t in pod.preferred if _matches(p, t.term)) for p in places}
    soft = {id(p): sum(t.effect == "PreferNoSchedule" and not _tolerates(pod, t) for t in p.taints) for p in places}
    best, most = max(worth.values()), max(soft.values())
    parts = {
        "availability": float(_fits(pod, place.idle)),
        "preferNoSchedule": 1.0 - soft[id(place)] / most if most else 1.0,
        "nodeAffinity": worth[id(place)] / best if best else 0.0,
        "resourceType": float(not pod.request[GPU] and not place.size[GPU]),
        "packing": packed,
    }
    # Rounded, because a sum in another order may differ in its last bit; nodes that differ do so by far more.
    return round(sum(DEFAULT_WEIGHTS[name] * part for name, part in parts.items()), 9)


def _places(snapshot: Snapshot) -> list[Place]:
    nodes, pods = snapshot.nodes, snapshot.pods
    found = []
    for row, name in enumerate(nodes.names):
        labels = {
            key: next(value for value, code in column.vocabulary.items() if code == column.codes[row])
            for key, column in nodes.labels.columns.items()
            if column.codes[row]
        }
        size = nodes.allocatable[row].tolist()
        taints = [taint for n, taint in enumerate(nodes.taints) if nodes.tainted[row, n]]
        ready, cordoned = bool(nodes.ready[row]), bool(nodes.cordoned[row])
        place = Place(name, size, list(size), [0] * len(size), labels, taints, ready, cordoned)
        for pod in range(len(pods)):
            if pods.node_idx[pod] == row and pods.state[pod] in (PodState.BOUND, PodState.RELEASING, PodState.STUCK):
                for r, amount in enumerate(snapshot.classes.classes[pods.class_idx[pod]].request):
                    place.idle[r] -= amount
                    place.leaving[r] += amount if pods.state[pod] == PodState.RELEASING else 0
        found.append(place)
    return found


def _jobs(snapshot: Snapshot) -> list[Job]:
    groups, pods = snapshot.podgroups, snapshot.pods
    jobs = []
    for row, key in enumerate(groups.keys):
        mine = [pod for pod in range(len(pods)) if pods.subgroup_idx[pod] == groups.offset[row]]
        queue = [
            (
                (-int(pods.task_priority[pod]), float(pods.created[pod]), pods.keys[pod].uid),
                pods.keys[pod].name,
                snapshot.classes.classes[pods.class_idx[pod]],
            )
            for pod in mine
            if pods.state[pod] == PodState.PENDING
        ]
        running = sum(pods.state[pod] == PodState.BOUND for pod in mine)
        rank = (-int(groups.priority[row]), float(groups.created[row]), key.uid)
        minimum = int(snapshot.subgroups.min_member[groups.offset[row]])
        jobs.append(Job(key.name, minimum, rank, int(running), sorted(queue, key=lambda entry: entry[0])))
    assert all(pods.node_idx[pod] == NONE or pods.state[pod] != PodState.PENDING for pod in range(len(pods)))
    return jobs
