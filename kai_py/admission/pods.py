"""Pods: the queue that their label names exists, and their namespace may use it.

A pod without the label is let in: its owner may name the queue, which the scheduler looks at.
"""

from __future__ import annotations

from kai_py.admission.verdict import FORBIDDEN, LET_IN, Known, Request, Verdict, by_rigour, part, queue_problem
from kai_py.api.keys import QUEUE_LABEL


def decide(request: Request, known: Known) -> Verdict:
    """Whether a pod may be made."""
    queue = queue_of(request)
    if request.operation != "CREATE" or not queue:
        return LET_IN
    if part(request.new, "spec").get("schedulerName") not in known.settings.scheduler_names:
        return LET_IN
    problem = queue_problem(known, queue, request.namespace)
    said = [f"metadata.labels[{QUEUE_LABEL}]: {problem}"] if problem else []
    return by_rigour(known.settings.admission.pods, said, code=FORBIDDEN)


def queue_of(request: Request) -> str:
    """The queue that the pod's label names; empty without one."""
    return str(part(request.new, "metadata", "labels").get(QUEUE_LABEL) or "")
