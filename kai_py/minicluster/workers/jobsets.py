"""The JobSet controller: makes a JobSet's Jobs, restarts them together, and says when the whole is done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kai_py.minicluster.options import DeleteOptions
from kai_py.minicluster.storage import Storage

from .agenda import Agenda
from .clock import Clock, WallClock, seconds_of, timestamp
from .custom import JOBSETS, follow, is_served, managed_by_another, telling
from .jobs import JOBS
from .jobset_jobs import ChildJob, child_job, job_of, names_of
from .mirror import Key, Mirror
from .pod_status import with_condition

Object = dict[str, Any]
Children = Mapping[str, ChildJob]

_CONTROLLER: Final = "jobset.sigs.k8s.io/jobset-controller"


@dataclass(frozen=True, slots=True)
class Known:
    """What makes a custom workload worth another look. Its status is its controller's own, so it is not among it."""

    uid: str
    generation: int
    deleting: bool
    revision: int = field(compare=False)


def known(obj: Object) -> Known:
    """The view of a workload."""
    meta = obj["metadata"]
    return Known(meta["uid"], meta["generation"], "deletionTimestamp" in meta, int(meta["resourceVersion"]))


class JobSets:
    """The JobSet controller. Not in it: Services, exclusive placement, coordinator, single Jobs made anew, webhooks."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Prepare; ``clock`` is the wall's, if not said."""
        self._clock = clock or WallClock()
        self._agenda: Agenda[Key] = Agenda(self._clock, self._sync)
        self._sets = Mirror(JOBSETS, known, lambda key, _before, _after: self._agenda.soon(key))
        self._jobs = Mirror(JOBS, child_job, self._job_changed)
        self._of: dict[Key, dict[str, ChildJob]] = {}
        self._storage: Storage

    async def run(self, storage: Storage) -> None:
        """Control until cancelled. This is the worker."""
        self._storage = storage
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow(storage, self._sets, JOBSETS))
            tasks.create_task(self._jobs.run(storage))
            tasks.create_task(self._agenda.run())

    def _job_changed(self, key: Key, before: ChildJob | None, after: ChildJob | None) -> None:
        for job in (before, after):
            if job is not None:
                self._of.setdefault(job.owner, {}).pop(key[1], None)
                self._agenda.soon(job.owner)
        if after is not None:
            self._of[after.owner][key[1]] = after

    def _sync(self, key: Key) -> None:
        if not is_served(self._storage, JOBSETS):
            return
        jobset = self._storage.find(JOBSETS, key[1], key[0])
        if jobset is None or "deletionTimestamp" in jobset["metadata"] or managed_by_another(jobset, _CONTROLLER):
            return  # the garbage collector takes its Jobs
        status = dict(jobset.get("status") or {})
        uid, attempt = jobset["metadata"]["uid"], status.get("restarts", 0)
        jobs = {name: job for name, job in self._of.get(key, {}).items() if job.owner_uid == uid}
        current = {name: job for name, job in jobs.items() if job.attempt >= attempt}
        status["replicatedJobsStatus"] = [_counts(part, current) for part in jobset["spec"]["replicatedJobs"]]
        if status.get("terminalState"):
            self._clean_up(key, jobset, current)
        else:
            self._delete(key, {name: job for name, job in jobs.items() if job.attempt < attempt})
            with telling(self._storage, jobset, "JobCreationFailed"):
                self._advance(key, jobset, status, jobs, current)
        if status != jobset.get("status"):
            self._sets.learn(self._storage.update(JOBSETS, jobset | {"status": status}, subresource="status"))
            # The status is ours, so nobody else makes the JobSet due again, and a restart wants to go on.
            if status.get("restarts", 0) != attempt or status.get("terminalState"):
                self._agenda.soon(key)

    def _advance(self, key: Key, jobset: Object, status: Object, jobs: Children, current: Children) -> None:
        spec = jobset["spec"]
        failed = {name: job for name, job in current.items() if job.ended == "Failed"}
        if failed:
            self._apply_failure_policy(spec, status, failed)
        elif _has_succeeded(spec, current):
            self._end(status, "Completed", "AllJobsCompleted", "the Jobs of the success policy have completed")
        else:
            self._start(jobset, status, jobs)
            self._suspend(key, spec, status, current)

    # the end ----------------------------------------------------------------------------------------

    def _apply_failure_policy(self, spec: Object, status: Object, failed: Children) -> None:
        """Restart or fail, as the first rule that fits one of the failed Jobs says."""
        policy = spec.get("failurePolicy")
        first = min(failed, key=lambda name: (failed[name].ended_at, name))
        if policy is None:
            self._end(status, "Failed", "FailedJobs", f"a Job has failed; the first was {first}")
            return
        action, first = _rule(policy, failed, first)
        if action == "FailJobSet":
            self._end(status, "Failed", "FailJobSetFailurePolicyAction", f"the failure of Job {first} fails the JobSet")
            return
        counted = status.get("restartsCountTowardsMax", 0)
        if action == "RestartJobSet":
            if counted >= policy.get("maxRestarts", 0):
                self._end(status, "Failed", "ReachedMaxRestarts", f"no restart is left after Job {first} has failed")
                return
            counted += 1
        status["restarts"] = status.get("restarts", 0) + 1
        status["restartsCountTowardsMax"] = counted

    def _end(self, status: Object, state: str, reason: str, message: str) -> None:
        self._set(status, state, "True", reason, message)
        status["terminalState"] = state

    def _clean_up(self, key: Key, jobset: Object, current: Children) -> None:
        """After the end: nothing runs on, and the JobSet itself goes when its time is over."""
        self._delete(key, {name: job for name, job in current.items() if not job.ended})
        seconds = jobset["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return
        state = jobset["status"]["terminalState"]
        ended = next(one for one in jobset["status"]["conditions"] if one["type"] == state)
        expires = seconds_of(ended["lastTransitionTime"]) + seconds
        if self._clock.time() < expires:
            self._agenda.at(key, expires)
        else:
            self._storage.delete(JOBSETS, key[1], key[0], DeleteOptions(propagation="Foreground"))

    def _delete(self, key: Key, jobs: Children) -> None:
        for name, job in jobs.items():
            if not job.deleting and self._storage.find(JOBS, name, key[0]) is not None:
                self._storage.delete(JOBS, name, key[0], DeleteOptions(propagation="Foreground", uid=job.uid))

    # Jobs -------------------------------------------------------------------------------------------

    def _start(self, jobset: Object, status: Object, jobs: Children) -> None:
        """Make the Jobs that are missing, as far as what they wait for has come."""
        spec = jobset["spec"]
        attempt = status.get("restarts", 0)
        policy = spec.get("failurePolicy") or {}
        if policy.get("restartStrategy") == "BlockingRecreate" and any(job.attempt < attempt for job in jobs.values()):
            return
        in_order = (spec.get("startupPolicy") or {}).get("startupPolicyOrder") == "InOrder" and not spec.get("suspend")
        counts = {one["name"]: one for one in status["replicatedJobsStatus"]}
        replicas = {part["name"]: part["replicas"] for part in spec["replicatedJobs"]}
        for part in spec["replicatedJobs"]:
            if not all(_reached(one, counts, replicas) for one in part.get("dependsOn") or ()):
                continue
            for index, name in enumerate(names_of(jobset, part)):
                # One of the attempt before keeps its name until it has gone.
                if name not in jobs:
                    made = self._storage.create(JOBS, job_of(jobset | {"status": status}, part, index))
                    self._jobs.learn(made)
            if in_order and not _has_started(part["name"], counts, replicas):
                self._set(status, "StartupPolicyCompleted", "False", "InOrder", f"{part['name']} has not started yet")
                return
        if in_order:
            self._set(status, "StartupPolicyCompleted", "True", "InOrder", "all replicated Jobs have started")

    def _suspend(self, key: Key, spec: Object, status: Object, current: Children) -> None:
        wanted = bool(spec.get("suspend"))
        for name, job in current.items():
            if not job.ended and job.suspended != wanted:
                self._jobs.learn(self._storage.patch(JOBS, name, {"spec": {"suspend": wanted}}, key[0]))
        was = any(one["type"] == "Suspended" for one in status.get("conditions") or ())
        if wanted:
            self._set(status, "Suspended", "True", "SuspendedJobs", "the JobSet is suspended")
        elif was:
            self._set(status, "Suspended", "False", "ResumeJobs", "the JobSet goes on")

    def _set(self, status: Object, kind: str, value: str, reason: str, message: str) -> None:
        condition = {"type": kind, "status": value, "reason": reason, "message": message}
        status["conditions"] = with_condition(status, condition, timestamp(self._clock.time()))


def _counts(part: Object, current: Children) -> Object:
    jobs = [job for job in current.values() if job.part == part["name"]]
    running = [job for job in jobs if not job.ended]
    return {
        "name": part["name"],
        "ready": sum(job.ready for job in running),
        "succeeded": sum(job.ended == "Complete" for job in jobs),
        "failed": sum(job.ended == "Failed" for job in jobs),
        "active": sum(job.active for job in running),
        "suspended": sum(job.suspended for job in running),
    }


def _has_started(part: str, counts: Mapping[str, Object], replicas: Mapping[str, int]) -> bool:
    status = counts[part]
    return bool(status["ready"] + status["succeeded"] + status["failed"] >= replicas[part])


def _reached(dependency: Object, counts: Mapping[str, Object], replicas: Mapping[str, int]) -> bool:
    name = dependency["name"]
    if name not in counts:
        return False
    if dependency["status"] == "Complete":
        return bool(counts[name]["succeeded"] >= replicas[name])
    return _has_started(name, counts, replicas)


def _has_succeeded(spec: Object, current: Children) -> bool:
    policy = spec.get("successPolicy") or {}
    targets = policy.get("targetReplicatedJobs") or [part["name"] for part in spec["replicatedJobs"]]
    succeeded = sum(job.ended == "Complete" and job.part in targets for job in current.values())
    if policy.get("operator") == "Any":
        return succeeded > 0
    needed = sum(part["replicas"] for part in spec["replicatedJobs"] if part["name"] in targets)
    return bool(succeeded >= needed > 0)


def _rule(policy: Object, failed: Children, first: str) -> tuple[str, str]:
    """The action of the first rule that fits, and the Job that it fits; without one, a restart."""
    for rule in policy.get("rules") or ():
        reasons, targets = rule.get("onJobFailureReasons"), rule.get("targetReplicatedJobs")
        for name, job in sorted(failed.items(), key=lambda item: (item[1].ended_at, item[0])):
            if (not reasons or job.why in reasons) and (not targets or job.part in targets):
                return rule["action"], name
    return "RestartJobSet", first
