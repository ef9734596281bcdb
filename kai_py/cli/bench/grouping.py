"""How long it takes to tell where pods belong."""

from __future__ import annotations

import time
from typing import Any, Final

from kai_py.api.decode import convert
from kai_py.api.pod import Pod
from kai_py.api.workload import Workload
from kai_py.planning.samples import samples
from kai_py.podgrouper.grouping import Grouper

Json = dict[str, Any]

_REPETITIONS: Final = 7


def measure_grouping(pods: int, owners: int) -> Json:
    """Group the pods of many workloads, each pod once, as when the scheduler starts.

    The workloads are, in turn, PyTorchJobs, Jobs, JobSets, RayClusters and LeaderWorkerSets, of equal size. Nothing is
    remembered between repetitions.

    Args:
        pods: at least so many, in all.
        owners: how many workloads.
    """
    size = max(2, -(-pods // owners))
    known: dict[str, Workload] = {}
    asked: list[Pod] = []
    for number in range(owners):
        for pod, chain, _ in samples(_workload(number, size)):
            known.update({one["metadata"]["uid"]: convert(Workload, one) for one in chain})
            asked.append(convert(Pod, pod))
    times, worked = [], []
    for _ in range(_REPETITIONS):
        grouper = Grouper()
        started, working = time.perf_counter(), time.process_time()
        groups = {membership.key for pod in asked if (membership := grouper(pod, known)) is not None}
        times.append(time.perf_counter() - started)
        worked.append(time.process_time() - working)
    return {
        "pods": len(asked),
        "owners": owners,
        "podgroups": len(groups),
        "repetitions": _REPETITIONS,
        "seconds": {"min": round(min(times), 4), "max": round(max(times), 4)},
        "cpuSeconds": {"min": round(min(worked), 4), "max": round(max(worked), 4)},
        "microsecondsPerPod": round(min(worked) / len(asked) * 1e6, 2),
    }


def _workload(number: int, size: int) -> Json:
    template: Json = {"metadata": {"labels": {"kai.scheduler/queue": "research"}}, "spec": {}}
    job = {"parallelism": size, "template": template}
    worker = {"groupName": "gpu", "replicas": size - 1, "minReplicas": 1, "template": template}
    kinds: list[tuple[str, str, Json]] = [
        (
            "kubeflow.org/v1",
            "PyTorchJob",
            {"pytorchReplicaSpecs": {"Worker": {"replicas": size, "template": template}}},
        ),
        ("batch/v1", "Job", job),
        ("jobset.x-k8s.io/v1alpha2", "JobSet", {"replicatedJobs": [{"name": "w", "template": {"spec": job}}]}),
        ("ray.io/v1", "RayCluster", {"headGroupSpec": {"template": template}, "workerGroupSpecs": [worker]}),
        (
            "leaderworkerset.x-k8s.io/v1",
            "LeaderWorkerSet",
            {"leaderWorkerTemplate": {"size": size, "workerTemplate": template}},
        ),
    ]
    version, kind, spec = kinds[number % len(kinds)]
    metadata = {"name": f"w-{number}", "namespace": "bench", "uid": f"uid-{number}"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
