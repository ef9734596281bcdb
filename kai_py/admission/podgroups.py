"""PodGroups: a tree of subgroups that can be met, and a queue that the namespace may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kai_py.admission.verdict import FORBIDDEN, LET_IN, Known, Request, Verdict, by_rigour, part, queue_problem, refused
from kai_py.api.keys import DERIVED_ANNOTATION, QUEUE_LABEL
from kai_py.api.podgroup import PodGroup
from kai_py.errors import InputError


def decide(request: Request, known: Known) -> Verdict:
    """Whether a PodGroup may be made or changed."""
    if request.operation == "DELETE":
        return LET_IN
    if not request.same_spec:
        try:
            PodGroup.parse(dict(request.new))
        except InputError as error:
            return refused(error.faults)
    queue = queue_of(request.new)
    if not queue or queue == queue_of(request.old):
        return LET_IN
    problem = queue_problem(known, queue, request.namespace)
    said = [f"spec.queue: {problem}"] if problem else []
    # What the scheduler derives from a workload is written for its user to see: the pods wait, and say why.
    derived = DERIVED_ANNOTATION in part(request.new, "metadata", "annotations")
    return by_rigour("warn" if derived else known.settings.admission.pods, said, code=FORBIDDEN)


def queue_of(manifest: Mapping[str, Any]) -> str:
    """The queue that a PodGroup names; empty if it names none."""
    labels = part(manifest, "metadata", "labels")
    return str(part(manifest, "spec").get("queue") or labels.get(QUEUE_LABEL) or "")
