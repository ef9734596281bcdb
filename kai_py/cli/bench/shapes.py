"""What ``bench decide`` measures: one table of clusters and jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A cluster, what runs on it, and what waits.

    Attributes:
        about: one line for people.
        nodes: each with 8 GPUs, 96 cores, 1 TiB and room for 110 pods.
        jobs: podgroups that wait.
        gang: pods of each; they start together or not at all. 1 = a pod without a podgroup.
        gpus: asked for by every waiting pod.
        running: pods that run on every node; six of them have a GPU, the others cores only.
        queues: leaf queues; jobs are dealt to them in turn.
        departments: parents of the queues, each with an equal part of the GPUs as quota; 0 = none, and no quota.
        repetitions: how often to measure, after one warm-up.
    """

    about: str
    nodes: int
    jobs: int = 0
    gang: int = 1
    gpus: int = 1
    running: int = 0
    queues: int = 1
    departments: int = 0
    repetitions: int = 7


#: How many of a node's running pods have a GPU.
GPUS_IN_USE: Final = 6

SHAPES: Final = {
    "fill": Shape(about="4,000 one-GPU pods onto 500 nodes", nodes=500, jobs=4000),
    "gang": Shape(about="one gang of 512 two-GPU pods onto 512 nodes", nodes=512, jobs=1, gang=512, gpus=2),
    "gang-whole": Shape(about="one gang of 512 eight-GPU pods onto 512 nodes", nodes=512, jobs=1, gang=512, gpus=8),
    "idle": Shape(
        about="nothing waits on 5,000 nodes with 50,000 running pods, one of which changes",
        nodes=5000,
        running=10,
        queues=4,
        departments=2,
        repetitions=21,
    ),
    "stuck": Shape(
        about="the same with 400 pods in line that no node can take",
        nodes=5000,
        jobs=400,
        gpus=8,
        running=10,
        queues=4,
        departments=2,
        repetitions=21,
    ),
    "jobs": Shape(
        about="500 jobs of one pod in four queues onto 100 nodes",
        nodes=100,
        jobs=500,
        queues=4,
        departments=2,
        repetitions=15,
    ),
    "gangs": Shape(
        about="100 gangs of four pods in four queues onto 50 nodes",
        nodes=50,
        jobs=100,
        gang=4,
        queues=4,
        departments=2,
        repetitions=15,
    ),
    "queues": Shape(
        about="200 jobs of one pod in 20 queues onto 50 nodes",
        nodes=50,
        jobs=200,
        queues=20,
        departments=5,
        repetitions=15,
    ),
}
