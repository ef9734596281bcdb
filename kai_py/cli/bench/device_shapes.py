"""What ``bench dra`` measures: one table of clusters with devices, and of claims on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from kai_py.cli.bench import device_manifests as make

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DeviceShape:
    """A cluster with devices, what runs on it, and what waits for devices.

    Attributes:
        about: one line for people.
        nodes: how many.
        slices: what drivers publish on a node, by its name.
        claims: specs of the claims of every pod that waits.
        jobs: podgroups that wait.
        gang: pods of each; they start together or not at all. 1 = a pod without a podgroup.
        running: pods that run on every node, each with a claim that has a GPU.
        repetitions: how often to measure, after one warm-up.
    """

    about: str
    nodes: int
    slices: Callable[[str], list[Json]]
    claims: tuple[Json, ...] = ()
    jobs: int = 0
    gang: int = 1
    running: int = 0
    repetitions: int = 5


def _one(request: Json) -> Json:
    return {"devices": {"requests": [request]}}


SHAPES: Final = {
    "whole-gpus": DeviceShape(
        about="4,000 claims on one GPU by a selector, 500 nodes with 8 GPUs",
        nodes=500,
        slices=make.whole_gpus,
        claims=(_one(make.exactly(make.WHOLE)),),
        jobs=4000,
    ),
    "partitions": DeviceShape(
        about="448 claims on the smallest partition, 64 GPUs that can be cut in seven",
        nodes=64,
        slices=make.partitions,
        claims=(_one(make.exactly(make.SMALLEST)),),
        jobs=448,
    ),
    "backtracking": DeviceShape(
        about="two requests that prefer 32 GPUs and do with 16, one node with 64: the widest of Kubernetes' own cases",
        nodes=1,
        slices=partial(make.whole_gpus, count=64),
        claims=({"devices": {"requests": [make.first_of(name, (32, 16)) for name in ("first", "second")]}},),
        jobs=1,
        repetitions=21,
    ),
    "gang": DeviceShape(
        about="one gang of 256 pods, each with two GPUs and a NIC on one PCIe root, 64 nodes with 8 of both",
        nodes=64,
        slices=make.gpus_and_nics,
        claims=(make.on_one_root(make.exactly(make.WHOLE, count=2), make.exactly(name="nic", of=make.NICS)),),
        jobs=1,
        gang=256,
    ),
    "idle": DeviceShape(
        about="nothing waits, 4,000 claims have all GPUs of 500 nodes, and one pod without claims changes",
        nodes=500,
        slices=make.whole_gpus,
        running=8,
        repetitions=15,
    ),
}
