"""How a queue stands, as a record: what it may have, what it has, who waits in it and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from kai_py.api.keys import NVIDIA_GPU
from kai_py.api.meta import Quantity
from kai_py.api.quantity import parse_quantity
from kai_py.api.queue import UNLIMITED, Queue, QueueResource
from kai_py.core.resources import CPU, GPU, MEMORY
from kai_py.errors import MalformedObjectError
from kai_py.telemetry.amounts import amount, noun, per_unit
from kai_py.telemetry.sentences import todo
from kai_py.telemetry.why import Why
from kai_py.telemetry.why_waiting import Waiter

#: Base units in one unit of a Queue's spec: millicores, MB, devices. What is not here is in its own unit.
_SPEC_UNITS: Final = {CPU: 1.0, MEMORY: 1_000_000.0, GPU: 1000.0}
#: Conditions that say that something is wrong, worst first.
_TROUBLES: Final = ("Invalid", "Orphan")


def why_queue(queue: Mapping[str, Any], waiting: Sequence[Waiter] = ()) -> Why:
    """How a queue stands.

    Args:
        queue: as the API server has it.
        waiting: who waits in the whole cluster, or in this queue.
    """
    name = str((queue.get("metadata") or {}).get("name") or "")
    subject = f"queue {name}"
    try:
        parsed = Queue.parse(queue)
    except MalformedObjectError as error:
        rows = tuple((fault.field or "object", fault.message) for fault in error.faults)
        return Why(subject, "It is malformed and takes no pods.", rows, "Correct the fields above.", "QueueInvalid")
    inside = [one for one in waiting if one.queue == name]
    evidence = (*_resource_rows(parsed), *_waiting_rows(inside))
    trouble = _trouble(parsed)
    if trouble is not None:
        return Why(subject, trouble, evidence, todo("QueueInvalid"), "QueueInvalid")
    if parsed.status.child_queues:
        children = ", ".join(sorted(parsed.status.child_queues))
        return Why(subject, f"It is divided into {children}; pods go there.", evidence)
    if not inside:
        return Why(subject, "Nothing waits in it.", evidence)
    code, count = Counter(one.code for one in inside).most_common(1)[0]
    most = code if count == len(inside) else f"{count} of them {code}"
    return Why(subject, f"{_counted(inside)} in it ({most}).", evidence, todo(code), code)


def _counted(inside: Sequence[Waiter]) -> str:
    """``2 podgroups and 1 single pod wait``."""
    singles = sum(one.single for one in inside)
    counts = (("podgroup", len(inside) - singles), ("single pod", singles))
    what = " and ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts if count)
    return f"{what} {'waits' if len(inside) == 1 else 'wait'}"


def _trouble(queue: Queue) -> str | None:
    for kind in _TROUBLES:
        for condition in queue.status.conditions:
            if condition.type == kind and condition.status == "True":
                return f"It cannot be used ({kind}): {condition.message or condition.reason}".rstrip(".") + "."
    return None


def _waiting_rows(inside: Sequence[Waiter]) -> Iterator[tuple[str, str]]:
    for code, count in Counter(one.code for one in inside).most_common():
        example = min((one for one in inside if one.code == code), key=lambda one: (one.single, one.name))
        which = f"pod {example.name}" if example.single else example.name
        yield "waiting", f"{count} with {code}, for instance {which}"


def _resource_rows(queue: Queue) -> Iterator[tuple[str, str]]:
    resources, status = queue.spec.resources, queue.status
    given: list[tuple[str, QueueResource]] = [(GPU, resources.gpu), (CPU, resources.cpu), (MEMORY, resources.memory)]
    given += [(one.name, one) for one in resources.additional]
    for name, resource in given:
        held, wanted, fair = (_status(one, name) for one in (status.allocated, status.requested, status.fair_share))
        parts = [
            f"holds {amount(name, held or 0.0)}",
            f"quota {_spec(name, resource.quota)}",
            f"limit {_spec(name, resource.limit)}",
            f"fair share {amount(name, fair)}" if fair is not None else "",
            f"asked for {amount(name, wanted)}" if wanted is not None else "",
        ]
        yield noun(name), ", ".join(part for part in parts if part)


def _spec(name: str, value: float) -> str:
    """A bound of the spec, for people."""
    return "unlimited" if value == UNLIMITED else amount(name, value * _SPEC_UNITS.get(name, 1.0))


def _status(amounts: Mapping[str, Quantity], name: str) -> float | None:
    """Base units of an amount of the status; KAI writes GPUs under the name that pods use."""
    written = amounts.get(name, amounts.get(NVIDIA_GPU) if name == GPU else None)
    return None if written is None else float(parse_quantity(written) * Fraction(per_unit(name)))
