"""Queues: the tree stays a tree, nobody's queue is pulled away, and surprising numbers are told."""

from __future__ import annotations

from collections.abc import Iterator

from kai_py.admission.verdict import FORBIDDEN, LET_IN, Known, Request, Verdict, by_rigour, refused
from kai_py.api.quantity import parse_quantity
from kai_py.api.queue import Queue
from kai_py.cluster.access import path
from kai_py.cluster.encode.queue import queue_warnings
from kai_py.errors import InputError


def decide(request: Request, known: Known) -> Verdict:
    """Whether a queue may be made, changed or deleted."""
    if request.operation == "DELETE":
        return _may_go(request, known)
    if request.same_spec:
        return LET_IN
    try:
        queue = Queue.parse(dict(request.new))
    except InputError as error:
        return refused(error.faults)
    tree = {**known.queues.queues, queue.name: queue}
    if cycle := _cycle(tree, queue.name):
        return Verdict(f"spec.parentQueue: the parents would form a cycle: {' → '.join(cycle)}")
    numbers = _numbers(queue, known, tree)
    return Verdict(numbers.refusal, warnings=(*_place(queue, known), *numbers.warnings))


def _cycle(tree: dict[str, Queue], name: str) -> list[str]:
    """The cycle that a queue is part of, from itself to itself; empty if there is none."""
    trail = list(path(tree, name))
    return [*trail, name] if tree[trail[-1]].spec.parent_queue == name else []


def _place(queue: Queue, known: Known) -> Iterator[str]:
    """What is surprising about the queue's place in the tree."""
    if queue.parent is None:
        return
    parent = known.queue(queue.parent)
    if parent is None:
        yield f"spec.parentQueue: there is no queue {queue.parent!r}: until there is, this queue takes no pods"
    elif not known.children(parent.name) and _in_use(parent):
        yield (
            f"spec.parentQueue: queue {parent.name!r} has pods: as soon as it has child queues, "
            "no more of its own are started"
        )


def _numbers(queue: Queue, known: Known, tree: dict[str, Queue]) -> Verdict:
    """Quotas and limits that contradict each other, here and at the parent. Only what is new can be a refusal."""
    concerned = (queue.name, queue.spec.parent_queue)
    now, before = queue_warnings(tree), queue_warnings(known.queues.queues)
    found = [one for name in concerned for one in now.get(name, ())]
    old = {(one.where, one.field) for name in concerned for one in before.get(name, ())}
    told = [f"{one.where}, {one.field}: {one.message}" for one in found]
    rigour = known.settings.admission.quotas
    if rigour == "refuse" and all((one.where, one.field) in old for one in found):
        rigour = "warn"
    return by_rigour(rigour, told)


def _may_go(request: Request, known: Known) -> Verdict:
    children = known.children(request.name)
    if children:
        listed = ", ".join(children[:5]) + (", …" if len(children) > 5 else "")
        return Verdict(f"queue {request.name!r} has child queues: {listed}", FORBIDDEN)
    try:
        queue = Queue.parse(dict(request.old))
    except InputError:
        return LET_IN  # what cannot be read is used by nobody
    if _in_use(queue):
        return Verdict(f"queue {request.name!r} is in use: pods hold or wait for its resources", FORBIDDEN)
    return LET_IN


def _in_use(queue: Queue) -> bool:
    """Whether the scheduler has seen pods in the queue, as of its last status."""
    return any(
        parse_quantity(amount)
        for amounts in (queue.status.allocated, queue.status.requested)
        for amount in amounts.values()
    )
