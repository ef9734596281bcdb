"""What ``bench core`` measures: clusters in which somebody makes room, KAI Scheduler's benchmarks among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kai_py.api.keys import HOSTNAME_LABEL, QUEUE_LABEL
from kai_py.cli.bench.manifests import GPUS_PER_NODE, RACK
from kai_py.cli.bench.volumes import LOCAL, MADE

_UNLIMITED: Final = -1


#: What pods of one workload ask of each other, as fields of a pod's spec. Racks are of ten nodes.
_LIKE: Final = {"matchLabels": {QUEUE_LABEL: "queue-0"}}
_HOST: Final = {"topologyKey": HOSTNAME_LABEL, "labelSelector": _LIKE}
_RACK: Final = {"topologyKey": RACK, "labelSelector": _LIKE}
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_EVENLY: Final = {**_RACK, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
ASKS: Final[Mapping[str, Mapping[str, object]]] = {
    "": {},
    "anti-affinity": {"affinity": {"podAntiAffinity": {_REQUIRED: [_HOST]}}},
    "affinity": {"affinity": {"podAffinity": {_REQUIRED: [_RACK]}}},
    "spread": {"topologySpreadConstraints": [_EVENLY]},
    "soft-spread": {"topologySpreadConstraints": [{**_EVENLY, "whenUnsatisfiable": "ScheduleAnyway"}]},
}


@dataclass(frozen=True, kw_only=True)
class Team:
    """A queue, what it runs, and what waits in it.

    Attributes:
        name: of the queue.
        department: its parent; empty = none.
        quota: GPUs; -1 = unlimited.
        weight: of what is beyond quota.
        running: one-GPU pods on every node, each a podgroup of its own.
        jobs: podgroups that wait.
        gang: pods of each; they start together or not at all.
        gpus: of every pod that waits.
        asks: what every pod that waits asks of the others, a key of :data:`ASKS`; empty = nothing.
        volumes: which volume every pod that waits claims, see :mod:`kai_py.cli.bench.volumes`; empty = none.
    """

    name: str
    department: str = ""
    quota: int = _UNLIMITED
    weight: float = 1.0
    running: int = 0
    jobs: int = 0
    gang: int = 1
    gpus: int = 1
    asks: str = ""
    volumes: str = ""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A cluster and its queues.

    Attributes:
        about: one line for people.
        nodes: each with 8 GPUs.
        teams: leaf queues.
        repetitions: how often to measure, after one warm-up.
    """

    about: str
    nodes: int
    teams: tuple[Team, ...]
    repetitions: int = 5


def _quarters(nodes: int, jobs: int, gang: int) -> tuple[Team, ...]:
    """Four teams in two departments; the jobs are dealt to them, each may have a quarter of the GPUs."""
    quota = nodes * GPUS_PER_NODE // 4
    return tuple(
        Team(name=f"queue-{n}", department=f"department-{n % 2}", quota=quota, jobs=jobs // 4, gang=gang)
        for n in range(4)
    )


def _owed(nodes: int, *, jobs: int, gang: int, gpus: int) -> tuple[Team, ...]:
    """One team runs on all that there is without being owed any of it, and the other one is owed everything."""
    return (
        Team(name="queue-0", quota=0, weight=0, running=GPUS_PER_NODE),
        Team(name="queue-1", quota=nodes * GPUS_PER_NODE, jobs=jobs, gang=gang, gpus=gpus),
    )


def _asking(asks: str) -> Scene:
    """A gang of 80 pods, as many as a rack has GPUs, and what they ask of each other."""
    about = f"a gang of 80 pods onto 5,000 empty nodes, {asks.replace('-', ' ') or 'for comparison: nothing'} asked"
    return Scene(about=about, nodes=5000, teams=(Team(name="queue-0", jobs=1, gang=80, asks=asks),), repetitions=9)


def _claiming(volumes: str) -> Scene:
    """A gang of 80 pods, each with a volume."""
    about = f"a gang of 80 pods onto 5,000 empty nodes, each with one of the {volumes.replace('-', ' ')}"
    return Scene(
        about=about, nodes=5000, teams=(Team(name="queue-0", jobs=1, gang=80, volumes=volumes),), repetitions=9
    )


def _impossible(nodes: int) -> tuple[Team, ...]:
    """A gang of ten whole nodes, one GPU more than the other team has to give."""
    return (
        Team(name="queue-0", quota=nodes * GPUS_PER_NODE - 79, weight=0, running=GPUS_PER_NODE),
        Team(name="queue-1", quota=80, jobs=1, gang=10, gpus=8),
    )


SCENES: Final = {
    "reclaim-large": Scene(
        about="a gang of 500 eight-GPU pods is owed half of 1,000 full nodes",
        nodes=1000,
        teams=_owed(1000, jobs=1, gang=500, gpus=8),
    ),
    "reclaim-many": Scene(
        about="4,000 one-GPU jobs are owed the places of 4,000 others on 500 nodes",
        nodes=500,
        teams=_owed(500, jobs=4000, gang=1, gpus=1),
    ),
    "impossible": Scene(
        about="a gang of ten eight-GPU pods that would need one GPU too many, on 1,000 full nodes",
        nodes=1000,
        teams=_impossible(1000),
        repetitions=9,
    ),
    "allocate": Scene(
        about="500 jobs of one pod in four queues onto 100 empty nodes",
        nodes=100,
        teams=_quarters(100, 500, 1),
        repetitions=15,
    ),
    "gangs": Scene(
        about="100 gangs of four pods in four queues onto 50 empty nodes",
        nodes=50,
        teams=_quarters(50, 100, 4),
        repetitions=15,
    ),
    "consolidate": Scene(
        about="41 gangs of ten six-GPU pods onto 500 nodes with five GPUs free on each",
        nodes=500,
        teams=(Team(name="queue-0", running=3, jobs=41, gang=10, gpus=6),),
    ),
    **{volumes: _claiming(volumes) for volumes in (MADE, LOCAL)},
    **{f"neighbours-{asks or 'none'}": _asking(asks) for asks in ASKS},
}
