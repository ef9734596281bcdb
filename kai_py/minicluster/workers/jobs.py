"""The Job controller: makes a Job's pods, counts how they end, and says when the Job is done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

from kai_py.minicluster.options import DeleteOptions
from kai_py.minicluster.storage import Storage

from .agenda import Agenda
from .clock import Clock, WallClock, seconds_of, timestamp
from .job_status import add_condition, condition_of, indexes_of, is_finished, set_counts, text_of
from .mirror import Key, Mirror
from .owned_pods import INDEX, TRACKING, OwnedPod, OwnedPods, pod_from, surplus

Object = dict[str, Any]

JOBS: Final = "jobs.batch"
_NAMES: Final = ("batch.kubernetes.io/job-name", "job-name")
_UIDS: Final = ("batch.kubernetes.io/controller-uid", "controller-uid")
_LONGEST_BACKOFF: Final = 600.0
#: Pods made in one turn, so that a huge Job does not stop the cluster.
_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class KnownJob:
    """What makes a Job worth another look. Its status is ours, so it is not among it."""

    uid: str
    generation: int
    deleting: bool
    revision: int = field(compare=False)


@dataclass(slots=True)
class _Backoff:
    """How often pods of a Job have failed since one succeeded, and when one may be made again."""

    failures: int = 0
    until: float = 0.0


class Jobs:
    """The Job controller. Not in it: podFailurePolicy, successPolicy, backoffLimitPerIndex and ``managedBy``."""

    def __init__(self, *, clock: Clock | None = None, backoff: float = 10.0) -> None:
        """Prepare.

        Args:
            clock: whose time it is; the wall's, if not said.
            backoff: seconds before a failed pod is made again; doubles with every failure, up to ten minutes.
        """
        self._clock = clock or WallClock()
        self._backoff = backoff
        self._agenda: Agenda[Key] = Agenda(self._clock, self._sync)
        self._jobs = Mirror(JOBS, _known_job, lambda key, _before, _after: self._agenda.soon(key))
        self._pods = OwnedPods("Job", self._agenda.soon)
        self._backoffs: dict[str, _Backoff] = {}
        self._storage: Storage

    async def run(self, storage: Storage) -> None:
        """Control until cancelled. This is the worker."""
        self._storage = storage
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._jobs.run(storage))
            tasks.create_task(self._pods.run(storage))
            tasks.create_task(self._agenda.run())

    def _sync(self, key: Key) -> None:
        job = self._storage.find(JOBS, key[1], key[0])
        uid = job["metadata"]["uid"] if job else ""
        pods = self._pods.of(key)
        for name, pod in pods.items():
            if pod.owner_uid != uid:
                self._pods.untrack(self._storage, name, pod)  # its Job is gone; nobody will count it
        if job is None or "deletionTimestamp" in job["metadata"]:
            self._let_go(key, uid)
        elif is_finished(job):
            self._let_go(key, uid)
            self._expire(key, job)
        else:
            self._advance(key, job)

    def _let_go(self, key: Key, uid: str) -> None:
        """The Job is over: its pods are not counted any more."""
        self._backoffs.pop(uid, None)
        for name, pod in self._pods.of(key).items():
            self._pods.untrack(self._storage, name, pod)

    def _expire(self, key: Key, job: Object) -> None:
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return
        done = condition_of(job, "Complete") or condition_of(job, "Failed")
        expires = seconds_of((done or {})["lastTransitionTime"]) + seconds
        if self._clock.time() < expires:
            self._agenda.at(key, expires)
        else:
            options = DeleteOptions(propagation="Foreground", uid=job["metadata"]["uid"])
            self._storage.delete(JOBS, key[1], key[0], options)

    def _advance(self, key: Key, job: Object) -> None:
        """Count what has ended, decide whether that is the end, else bring the number of pods to what is wanted."""
        now = timestamp(self._clock.time())
        status: Object = dict(job.get("status") or {})
        counted = self._count(key, job, status)
        failure = self._failure(job, status)
        if failure is not None:
            self._fail(key, job, status, failure)
        elif _is_complete(job, status, self._mine(key, job)):
            self._complete(key, job, status)
        elif job["spec"].get("suspend"):
            self._suspend(key, job, status)
        else:
            if "startTime" not in status:
                status["startTime"] = now
            if any(one["type"] == "Suspended" for one in status.get("conditions") or ()):
                add_condition(status, "Suspended", "False", now, reason="JobResumed", message="Job resumed")
            self._scale(key, job, status)
            self._watch_deadline(key, job, status)
        set_counts(status, self._mine(key, job))
        if status != job.get("status"):
            self._jobs.learn(self._storage.update(JOBS, job | {"status": status}, subresource="status"))
        # Only what the status tells may lose its finalizer: whoever reads both never misses a pod.
        for name, pod in counted:
            self._pods.untrack(self._storage, name, pod)

    def _mine(self, key: Key, job: Object) -> dict[Key, OwnedPod]:
        uid = job["metadata"]["uid"]
        return {name: pod for name, pod in self._pods.of(key).items() if pod.owner_uid == uid}

    # counting ---------------------------------------------------------------------------------------

    def _count(self, key: Key, job: Object, status: Object) -> list[tuple[Key, OwnedPod]]:
        """Add the pods that have ended to the status. A pod that was deleted before it succeeded has failed."""
        spec, counted = job["spec"], []
        waits = spec.get("podReplacementPolicy") == "Failed"
        completed = indexes_of(status.get("completedIndexes", ""))
        failures = successes = 0
        for name, pod in self._mine(key, job).items():
            if not pod.tracked:
                continue
            if pod.phase == "Succeeded":
                successes += 1
                if pod.index is not None and pod.index < spec.get("completions", 0):
                    completed.add(pod.index)
            elif pod.phase == "Failed" or (pod.deleting and not waits):
                failures += 1
            else:
                continue
            counted.append((name, pod))
        if spec["completionMode"] == "Indexed":
            status["completedIndexes"] = text_of(completed)
            status["succeeded"] = len(completed)
        else:
            status["succeeded"] = status.get("succeeded", 0) + successes
        status["failed"] = status.get("failed", 0) + failures
        self._note(job["metadata"]["uid"], failures, successes)
        return counted

    def _note(self, uid: str, failures: int, successes: int) -> None:
        if successes:
            self._backoffs.pop(uid, None)
        if failures:
            backoff = self._backoffs.setdefault(uid, _Backoff())
            backoff.failures += failures
            pause = min(self._backoff * 2 ** min(backoff.failures - 1, 10), _LONGEST_BACKOFF)
            backoff.until = self._clock.time() + pause

    # the end ----------------------------------------------------------------------------------------

    def _failure(self, job: Object, status: Object) -> tuple[str, str] | None:
        """Reason and message, if the Job has failed."""
        decided = condition_of(job, "FailureTarget")
        if decided is not None:
            return decided.get("reason", ""), decided.get("message", "")
        if status["failed"] > job["spec"]["backoffLimit"]:
            return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        deadline = _deadline(job, status)
        if deadline is not None and self._clock.time() >= deadline:
            return "DeadlineExceeded", "Job was active longer than specified deadline"
        return None

    def _fail(self, key: Key, job: Object, status: Object, failure: tuple[str, str]) -> None:
        """Stop what runs; the Job has failed when nothing does any more."""
        reason, message = failure
        now = timestamp(self._clock.time())
        add_condition(status, "FailureTarget", "True", now, reason=reason, message=message)
        self._delete_active(key, job)
        if not any(pod.active or pod.terminating for pod in self._mine(key, job).values()):
            add_condition(status, "Failed", "True", now, reason=reason, message=message)

    def _complete(self, key: Key, job: Object, status: Object) -> None:
        now = timestamp(self._clock.time())
        message = {"reason": "CompletionsReached", "message": "Reached expected number of succeeded pods"}
        add_condition(status, "SuccessCriteriaMet", "True", now, **message)
        self._delete_active(key, job)
        if not any(pod.active or pod.terminating for pod in self._mine(key, job).values()):
            add_condition(status, "Complete", "True", now, **message)
            status["completionTime"] = now

    def _suspend(self, key: Key, job: Object, status: Object) -> None:
        now = timestamp(self._clock.time())
        self._delete_active(key, job)
        status.pop("startTime", None)
        add_condition(status, "Suspended", "True", now, reason="JobSuspended", message="Job suspended")

    def _delete_active(self, key: Key, job: Object) -> None:
        for name, pod in self._mine(key, job).items():
            if pod.active:
                self._pods.delete(self._storage, name, pod)

    def _watch_deadline(self, key: Key, job: Object, status: Object) -> None:
        deadline = _deadline(job, status)
        if deadline is not None:
            self._agenda.at(key, deadline)

    # pods -------------------------------------------------------------------------------------------

    def _scale(self, key: Key, job: Object, status: Object) -> None:
        pods = self._mine(key, job)
        active = {name: pod for name, pod in pods.items() if pod.active}
        wanted = _wanted(job["spec"], status["succeeded"], len(active))
        for name, pod in surplus(active, max(len(active) - wanted, 0)):
            self._pods.delete(self._storage, name, pod)
        held = len(active)
        if job["spec"].get("podReplacementPolicy") == "Failed":
            held += sum(pod.terminating for pod in pods.values())
        missing = wanted - held
        backoff = self._backoffs.get(job["metadata"]["uid"])
        if missing > 0 and backoff is not None and self._clock.time() < backoff.until:
            self._agenda.at(key, backoff.until)
            return
        # Beyond a batch, the new pods themselves make the Job due again.
        for index in _indexes(job["spec"], status, pods, min(missing, _BATCH)):
            self._pods.create(self._storage, _pod_of(job, index))


def _known_job(job: Object) -> KnownJob:
    meta = job["metadata"]
    return KnownJob(meta["uid"], meta["generation"], "deletionTimestamp" in meta, int(meta["resourceVersion"]))


def _deadline(job: Object, status: Object) -> float | None:
    seconds, started = job["spec"].get("activeDeadlineSeconds"), status.get("startTime")
    return seconds_of(started) + seconds if seconds is not None and started else None


def _is_complete(job: Object, status: Object, pods: dict[Key, OwnedPod]) -> bool:
    completions = job["spec"].get("completions")
    if completions is not None:
        return bool(status["succeeded"] >= completions)
    # Without a number of completions, the pods know by themselves when the work is done.
    return status["succeeded"] > 0 and not any(pod.active for pod in pods.values())


def _wanted(spec: Object, succeeded: int, active: int) -> int:
    """How many pods should be active now."""
    parallelism: int = spec["parallelism"]
    if spec.get("completions") is not None:
        completions: int = spec["completions"]
        return min(parallelism, max(completions - succeeded, 0))
    return min(parallelism, active) if succeeded else parallelism


def _indexes(spec: Object, status: Object, pods: dict[Key, OwnedPod], count: int) -> list[int | None]:
    """The completion indexes of the next pods, lowest first; None for each pod of a Job that has none."""
    if spec["completionMode"] != "Indexed":
        return [None] * max(count, 0)
    waits = spec.get("podReplacementPolicy") == "Failed"
    taken = indexes_of(status.get("completedIndexes", ""))
    taken |= {
        pod.index for pod in pods.values() if pod.index is not None and (pod.active or (waits and pod.terminating))
    }
    free = [index for index in range(spec["completions"]) if index not in taken]
    return list(free[: max(count, 0)])


def _pod_of(job: Object, index: int | None) -> Object:
    name = job["metadata"]["name"]
    pod = pod_from(job["spec"]["template"], job, prefix=f"{name}-" if index is None else f"{name}-{index}-")
    meta, spec = pod["metadata"], pod["spec"]
    labels = dict.fromkeys(_NAMES, name) | dict.fromkeys(_UIDS, job["metadata"]["uid"])
    meta["labels"] = (meta.get("labels") or {}) | labels
    meta["finalizers"] = [*meta.get("finalizers", ()), TRACKING]
    if index is not None:
        meta["labels"][INDEX] = str(index)
        meta["annotations"] = (meta.get("annotations") or {}) | {INDEX: str(index)}
        # 63 characters are the longest host name; the index stays whole.
        spec.setdefault("hostname", f"{name[: 62 - len(str(index))]}-{index}")
        source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            if not any(variable["name"] == "JOB_COMPLETION_INDEX" for variable in container.get("env") or ()):
                container["env"] = [*container.get("env", ()), {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]
    return pod
