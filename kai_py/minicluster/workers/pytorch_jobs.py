"""The PyTorchJob controller: a master and workers, each by its index, and the state of the whole.

Names, labels, environment and conditions are those of Kubeflow's training operator v1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kai_py.api import keys
from kai_py.minicluster.kinds import PODS
from kai_py.minicluster.options import DeleteOptions
from kai_py.minicluster.storage import Storage

from .agenda import Agenda
from .clock import Clock, WallClock, seconds_of, timestamp
from .custom import PYTORCH_JOBS, follow, is_served, managed_by_another, telling
from .jobsets import known
from .mirror import Key, Mirror
from .owned_pods import OwnedPod, OwnedPods, pod_from
from .pytorch_status import OPERATOR, OPERATOR_LABEL, counts_of, set_condition, state_of

Object = dict[str, Any]
Pods = Mapping[str, OwnedPod]

_CONTROLLER: Final = "kubeflow.org/training-operator"
_PORT: Final = 23456
#: Exit codes from here on are worth another try.
_RETRYABLE: Final = 128


class PyTorchJobs:
    """The PyTorchJob controller. Not in it: Services, waiting for the master, torchrun's elastic agent, autoscaling."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Prepare; ``clock`` is the wall's, if not said."""
        self._clock = clock or WallClock()
        self._agenda: Agenda[Key] = Agenda(self._clock, self._sync)
        self._jobs = Mirror(PYTORCH_JOBS, known, lambda key, _before, _after: self._agenda.soon(key))
        self._pods = OwnedPods("PyTorchJob", self._agenda.soon)
        self._restarts: dict[str, int] = {}
        self._storage: Storage

    async def run(self, storage: Storage) -> None:
        """Control until cancelled. This is the worker."""
        self._storage = storage
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow(storage, self._jobs, PYTORCH_JOBS))
            tasks.create_task(self._pods.run(storage))
            tasks.create_task(self._agenda.run())

    def _sync(self, key: Key) -> None:
        if not is_served(self._storage, PYTORCH_JOBS):
            return
        job = self._storage.find(PYTORCH_JOBS, key[1], key[0])
        if job is None or "deletionTimestamp" in job["metadata"]:
            return  # the garbage collector takes its pods
        policy = job["spec"].get("runPolicy") or {}
        if managed_by_another({"spec": policy}, _CONTROLLER):
            return
        status: Object = dict(job.get("status") or {})
        pods = {name: pod for (_, name), pod in self._pods.of(key).items() if pod.owner_uid == job["metadata"]["uid"]}
        if state_of(status):
            self._clean_up(key, job, status, policy, pods)
        else:
            self._tell(status, "Created", f"PyTorchJob {key[1]} has been taken in")
            with telling(self._storage, job, "FailedCreatePod"):
                self._advance(key, job, status, policy, pods)
        if status != job.get("status"):
            self._jobs.learn(self._storage.update(PYTORCH_JOBS, job | {"status": status}, subresource="status"))
            if state_of(status):
                self._agenda.soon(key)

    def _advance(self, key: Key, job: Object, status: Object, policy: Object, pods: Pods) -> None:
        if policy.get("suspend"):
            self._delete(key, pods)
            status.pop("startTime", None)
            self._count(key, job, status)
            self._tell(status, "Suspended", f"PyTorchJob {key[1]} is suspended")
            return
        if "startTime" not in status:
            status["startTime"] = timestamp(self._clock.time())
        if any(one["type"] == "Suspended" for one in status.get("conditions") or ()):
            self._tell(status, "Suspended", f"PyTorchJob {key[1]} goes on", value="False")
        failed = self._restart(key, job, status, pods)
        self._scale(key, job, pods)
        counts = self._count(key, job, status)
        if late := self._deadline(key, status, policy):
            self._tell(status, "Failed", late)
        elif failed:
            self._tell(status, "Failed", f"PyTorchJob {key[1]} has failed: {failed}")
        elif self._restarts.get(job["metadata"]["uid"], 0) > policy.get("backoffLimit", float("inf")):
            self._tell(status, "Failed", f"PyTorchJob {key[1]} has failed: its pods failed too often (backoffLimit)")
        else:
            self._judge(key, job, status, counts)

    def _judge(self, key: Key, job: Object, status: Object, counts: Mapping[str, Object]) -> None:
        """The master decides; without one, the workers do when all of them have succeeded."""
        role = "Master" if "Master" in _roles(job) else "Worker"
        wanted = _roles(job).get(role, {}).get("replicas", 0)
        if wanted and counts[role].get("succeeded", 0) >= wanted:
            status["completionTime"] = timestamp(self._clock.time())
            self._tell(status, "Succeeded", f"PyTorchJob {key[1]} is complete")
        elif counts.get(role, {}).get("active"):
            self._tell(status, "Running", f"PyTorchJob {key[1]} runs")

    def _deadline(self, key: Key, status: Object, policy: Object) -> str:
        """Why the job is too late; empty if it is not."""
        seconds = policy.get("activeDeadlineSeconds")
        if seconds is None:
            return ""
        ends = seconds_of(status["startTime"]) + seconds
        if self._clock.time() < ends:
            self._agenda.at(key, ends)
            return ""
        return f"PyTorchJob {key[1]} has failed: it was active for more than {seconds} s"

    def _clean_up(self, key: Key, job: Object, status: Object, policy: Object, pods: Pods) -> None:
        clean = policy.get("cleanPodPolicy") or "None"
        if clean != "None":
            self._delete(key, {name: pod for name, pod in pods.items() if clean == "All" or pod.active})
        self._restarts.pop(job["metadata"]["uid"], None)
        seconds = policy.get("ttlSecondsAfterFinished")
        if seconds is None:
            return
        ended = next(one for one in status["conditions"] if one["type"] == state_of(status))
        expires = seconds_of(ended["lastTransitionTime"]) + seconds
        if self._clock.time() < expires:
            self._agenda.at(key, expires)
        else:
            self._storage.delete(PYTORCH_JOBS, key[1], key[0], DeleteOptions(propagation="Background"))

    # pods -------------------------------------------------------------------------------------------

    def _restart(self, key: Key, job: Object, status: Object, pods: Pods) -> str:
        """Take away failed pods that are to be made again; tells about the first that is not."""
        for role, index, name in _members(job):
            pod = pods.get(name)
            if pod is None or pod.phase != "Failed" or pod.deleting:
                continue
            policy = _roles(job)[role].get("restartPolicy", "OnFailure")
            if policy == "Never" or (policy == "ExitCode" and not self._is_retryable(key, name)):
                return f"{role} {index}"
            uid = job["metadata"]["uid"]
            self._restarts[uid] = self._restarts.get(uid, 0) + 1
            self._delete(key, {name: pod})
            self._tell(status, "Restarting", f"PyTorchJob {key[1]} restarts {role} {index}")
        return ""

    def _is_retryable(self, key: Key, name: str) -> bool:
        pod = self._storage.find(PODS.key, name, key[0]) or {}
        ended = [one.get("state", {}).get("terminated") for one in pod.get("status", {}).get("containerStatuses") or ()]
        return any(one is not None and one["exitCode"] >= _RETRYABLE for one in ended)

    def _scale(self, key: Key, job: Object, pods: Pods) -> None:
        members = {name: (role, index) for role, index, name in _members(job)}
        self._delete(key, {name: pod for name, pod in pods.items() if name not in members})
        for name, (role, index) in members.items():
            # One that is leaving keeps its name until it has gone; the name may be a stranger's, too.
            if self._storage.find(PODS.key, name, key[0]) is None:
                self._pods.create(self._storage, _pod_of(job, role, index, name))

    def _delete(self, key: Key, pods: Pods) -> None:
        for name, pod in pods.items():
            if not pod.deleting:
                self._pods.delete(self._storage, (key[0], name), pod)

    def _count(self, key: Key, job: Object, status: Object) -> Mapping[str, Object]:
        uid = job["metadata"]["uid"]
        mine = {name: pod for (_, name), pod in self._pods.of(key).items() if pod.owner_uid == uid}
        counts = {role: counts_of(key[1], role, _of_role(job, role, mine)) for role in _roles(job)}
        status["replicaStatuses"] = counts
        return counts

    def _tell(self, status: Object, kind: str, message: str, *, value: str = "True") -> None:
        set_condition(status, kind, message, timestamp(self._clock.time()), value=value)


def _roles(job: Object) -> Mapping[str, Object]:
    roles: Mapping[str, Object] = job["spec"]["pytorchReplicaSpecs"]
    return roles


def _members(job: Object) -> Iterator[tuple[str, int, str]]:
    """Role, index and name of every pod that there should be."""
    for role, spec in _roles(job).items():
        for index in range(spec.get("replicas", 1)):
            yield role, index, f"{job['metadata']['name']}-{role.lower()}-{index}"


def _of_role(job: Object, role: str, pods: Pods) -> Iterator[OwnedPod]:
    for one, _, name in _members(job):
        if one == role and name in pods:
            yield pods[name]


def _pod_of(job: Object, role: str, index: int, name: str) -> Object:
    spec, meta = _roles(job)[role], job["metadata"]
    pod = pod_from({"spec": {}, **spec["template"]}, job, prefix="")
    del pod["metadata"]["generateName"]
    pod["metadata"]["name"] = name
    leads = role == "Master" or ("Master" not in _roles(job) and index == 0)
    pod["metadata"]["labels"] = (
        (pod["metadata"].get("labels") or {})
        | {keys.KUBEFLOW_JOB_LABEL: meta["name"], OPERATOR_LABEL: OPERATOR}
        | {keys.KUBEFLOW_REPLICA_TYPE_LABEL: role.lower(), keys.KUBEFLOW_REPLICA_INDEX_LABEL: str(index)}
        | ({keys.KUBEFLOW_ROLE_LABEL: "master"} if leads else {})
    )
    policy = spec.get("restartPolicy", "OnFailure")
    pod["spec"]["restartPolicy"] = "Never" if policy == "ExitCode" else policy
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"].get("containers", ())):
        said = {one["name"] for one in container.get("env") or ()}
        told = [{"name": key, "value": value} for key, value in _environment(job, role, index).items()]
        container["env"] = [*(container.get("env") or ()), *(one for one in told if one["name"] not in said)]
    return pod


def _environment(job: Object, role: str, index: int) -> dict[str, str]:
    """How the processes of the training find each other."""
    roles, name = _roles(job), job["metadata"]["name"]
    masters = roles["Master"].get("replicas", 1) if "Master" in roles else 0
    return {
        "PYTHONUNBUFFERED": "1",
        "MASTER_ADDR": f"{name}-master-0" if masters else f"{name}-worker-0",
        "MASTER_PORT": str(_PORT),
        "WORLD_SIZE": str(sum(spec.get("replicas", 1) for spec in roles.values())),
        "RANK": str(index if role == "Master" else masters + index),
    }
