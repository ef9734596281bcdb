"""The Jobs of a JobSet: what is remembered of them, and how they are made.

Names, labels and annotations are those of JobSet's own controller (https://jobset.sigs.k8s.io/docs/concepts): they
stand on the Jobs and on the Jobs' pods, as labels and once more as annotations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

from kai_py.api.keys import JOBSET_INDEX_LABEL, JOBSET_JOB_LABEL

from .job_status import condition_of
from .mirror import Key

Object = dict[str, Any]

_PREFIX: Final = "jobset.sigs.k8s.io/"
NAME_LABEL: Final = f"{_PREFIX}jobset-name"
ATTEMPT_LABEL: Final = f"{_PREFIX}restart-attempt"
_EXCLUSIVE: Final = "alpha.jobset.sigs.k8s.io/exclusive-topology"


@dataclass(frozen=True, slots=True)
class ChildJob:
    """What is remembered of a Job that a JobSet controls.

    Attributes:
        owner: namespace and name of the JobSet.
        part: the replicated Job that it is one of.
        attempt: how often the JobSet had been restarted when it was made.
        ended: ``Complete`` or ``Failed``; empty while neither.
        why: the reason of a failure.
        ready: whether all its pods are ready or have succeeded.
        active: whether it has pods.
    """

    uid: str
    owner: Key
    owner_uid: str
    part: str
    attempt: int
    ended: str
    why: str
    ended_at: str
    ready: bool
    active: bool
    suspended: bool
    deleting: bool
    revision: int = field(compare=False)


def child_job(job: Object) -> ChildJob | None:
    """The view of a Job; None if no JobSet controls it."""
    meta, spec, status = job["metadata"], job["spec"], job.get("status") or {}
    owner = next((ref for ref in meta.get("ownerReferences") or () if ref.get("controller")), None)
    if owner is None or owner["kind"] != "JobSet":
        return None
    labels = meta.get("labels") or {}
    failed, complete = condition_of(job, "Failed"), condition_of(job, "Complete")
    attempt = labels.get(ATTEMPT_LABEL, "")
    pods = min(spec["parallelism"], spec.get("completions") or spec["parallelism"])
    return ChildJob(
        uid=meta["uid"],
        owner=(meta["namespace"], owner["name"]),
        owner_uid=owner["uid"],
        part=labels.get(JOBSET_JOB_LABEL, ""),
        attempt=int(attempt) if attempt.isdecimal() else 0,
        ended="Failed" if failed else "Complete" if complete else "",
        why=(failed or {}).get("reason", ""),
        ended_at=(failed or complete or {}).get("lastTransitionTime", ""),
        ready=status.get("succeeded", 0) + status.get("ready", 0) >= pods,
        active=status.get("active", 0) > 0,
        suspended=bool(spec.get("suspend")),
        deleting="deletionTimestamp" in meta,
        revision=int(meta["resourceVersion"]),
    )


def names_of(jobset: Object, part: Object) -> Iterator[str]:
    """The names of the Jobs of one replicated Job, by their index."""
    for index in range(part["replicas"]):
        yield f"{jobset['metadata']['name']}-{part['name']}-{index}"


def job_of(jobset: Object, part: Object, index: int) -> Object:
    """A Job of a JobSet, to be created.

    Args:
        jobset: as stored.
        part: an entry of its ``spec.replicatedJobs``.
        index: which of the part's replicas.
    """
    owner, spec, template = jobset["metadata"], jobset["spec"], deepcopy(part["template"])
    name = f"{owner['name']}-{part['name']}-{index}"
    marks = _marks(jobset, part, index, name)
    job: Object = template.setdefault("spec", {})
    # What JobSet's webhook fills in; the rest are the defaults of Jobs.
    job.setdefault("completionMode", "Indexed")
    pods = job.setdefault("template", {})
    pods.setdefault("spec", {}).setdefault("restartPolicy", "OnFailure")
    network = spec.get("network") or {}
    if network.get("enableDNSHostnames", True):
        pods["spec"].setdefault("subdomain", network.get("subdomain") or owner["name"])
    job["suspend"] = bool(spec.get("suspend"))
    exclusive = {key: text for key, text in (owner.get("annotations") or {}).items() if key == _EXCLUSIVE}
    for meta in (template.setdefault("metadata", {}), pods.setdefault("metadata", {})):
        meta["labels"] = (meta.get("labels") or {}) | marks
        meta["annotations"] = (meta.get("annotations") or {}) | marks | exclusive
    reference = {
        "apiVersion": jobset["apiVersion"],
        "kind": jobset["kind"],
        "name": owner["name"],
        "uid": owner["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    made = template["metadata"] | {"name": name, "namespace": owner["namespace"], "ownerReferences": [reference]}
    return {"metadata": made, "spec": job}


def _marks(jobset: Object, part: Object, index: int, name: str) -> dict[str, str]:
    meta, parts = jobset["metadata"], jobset["spec"]["replicatedJobs"]
    before = 0
    for one in parts:
        if one["name"] == part["name"]:
            break
        before += one["replicas"]
    digest = hashlib.sha1(f"{meta['namespace']}/{name}".encode(), usedforsecurity=False)
    return {
        NAME_LABEL: meta["name"],
        JOBSET_JOB_LABEL: part["name"],
        ATTEMPT_LABEL: str((jobset.get("status") or {}).get("restarts", 0)),
        f"{_PREFIX}replicatedjob-replicas": str(part["replicas"]),
        f"{_PREFIX}global-replicas": str(sum(one["replicas"] for one in parts)),
        JOBSET_INDEX_LABEL: str(index),
        f"{_PREFIX}job-key": digest.hexdigest(),
        f"{_PREFIX}job-global-index": str(before + index),
    }
