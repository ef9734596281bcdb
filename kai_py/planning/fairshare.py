"""``fairshare``: the division alone, by the code that every cycle uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Final

import numpy as np
from pydantic import AfterValidator, Field, Strict, ValidationError

from kai_py.api.keys import DEFAULT_QUEUE_PRIORITY
from kai_py.api.model import faults_of
from kai_py.api.queue import Bound
from kai_py.cluster.encode.times import seconds
from kai_py.core.queues.fair_share import fair_shares
from kai_py.core.tables.queues import ROOT, QueueTable
from kai_py.errors import Fault, InputError
from kai_py.settings.base import SettingsGroup

Json = dict[str, Any]
_MEGABYTE: Final = 1_000_000.0

Amount = Annotated[float, Field(ge=0)]


class Guarantee(SettingsGroup):
    """Quota, limit and weight of one resource, in the Queue CRD's units. What is not given does not restrict."""

    quota: Bound = 0.0
    limit: Bound = -1.0
    over_quota_weight: Amount = 0.0


class QueueEntry(SettingsGroup):
    """One queue of the document."""

    name: Annotated[str, Field(min_length=1)]
    parent: str | None = None
    priority: int = DEFAULT_QUEUE_PRIORITY
    creation_timestamp: str = ""
    uid: str = ""
    resources: dict[str, Guarantee] = Field(default_factory=dict)
    requested: dict[str, Amount] | None = None
    usage: dict[str, Amount] = Field(default_factory=dict)


def _unique(queues: tuple[QueueEntry, ...]) -> tuple[QueueEntry, ...]:
    counts = Counter(queue.name for queue in queues)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"given more than once: {', '.join(twice)}")
    return queues


class Document(SettingsGroup):
    """The question."""

    total: dict[str, Amount]
    k_value: Amount = 1.0
    queues: Annotated[tuple[QueueEntry, ...], Strict(False), AfterValidator(_unique)] = ()


def fair_share(document: Mapping[str, Any]) -> Json:
    """Divide capacity among queues.

    Args:
        document: ``total`` per resource (millicores, bytes, devices), ``kValue`` and ``queues``; quota and limit of
            memory in MB, as in the Queue CRD.

    Returns:
        The fair share of every queue and resource, in millicores, bytes and devices, and warnings where quotas add up
        to more than there is.

    Raises:
        InputError: with all faults.
    """
    try:
        question = Document.model_validate(document)
    except ValidationError as error:
        raise InputError(faults_of(error, where="fair share document")) from error
    _check_tree(question)
    resources = sorted({*question.total, *(name for queue in question.queues for name in queue.resources)})
    table = _table(question, resources)
    requested = _requested(question, table, resources)
    total = np.array([question.total.get(name, 0.0) for name in resources])
    shares = fair_shares(table, requested, total, np.ones(len(resources)), k_value=question.k_value)
    answer: Json = {
        name: {resource: {"fairShare": shares[row, column].item()} for column, resource in enumerate(resources)}
        for row, name in enumerate(table.names)
    }
    warnings = _overcommitted(question, table, resources)
    return {"apiVersion": "kai-py/v1", "kind": "FairShare", "queues": answer, "warnings": warnings}


def _check_tree(question: Document) -> None:
    parents = {queue.name: queue.parent for queue in question.queues}
    faults = []
    for queue in question.queues:
        if queue.parent and queue.parent not in parents:
            faults.append(Fault(f"queue {queue.name}", "parent", f"there is no queue {queue.parent!r}"))
        trail: list[str] = []
        at: str | None = queue.name
        while at and at in parents and at not in trail:
            trail.append(at)
            at = parents[at]
        if at and at == queue.name:
            cycle = " → ".join([*trail, at])
            faults.append(Fault(f"queue {queue.name}", "parent", f"the parents form a cycle: {cycle}"))
    if faults:
        raise InputError(faults)


def _table(question: Document, resources: list[str]) -> QueueTable:
    queues = sorted(question.queues, key=lambda queue: queue.name)
    row_of = {queue.name: row for row, queue in enumerate(queues)}
    given = [[queue.resources.get(name, Guarantee()) for name in resources] for queue in queues]
    scale = np.array([_MEGABYTE if name == "memory" else 1.0 for name in resources])
    shape = (len(queues), len(resources))

    def amounts(values: list[list[float]]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        array = np.array(values, dtype=np.float64).reshape(shape)
        return np.where(array == -1, np.inf, array * scale)

    return QueueTable(
        names=tuple(row_of),
        uids=tuple(queue.uid for queue in queues),
        parent=np.array([row_of[queue.parent] if queue.parent else ROOT for queue in queues], dtype=np.int32),
        priority=np.array([queue.priority for queue in queues], dtype=np.int32),
        created=np.array([seconds(queue.creation_timestamp) for queue in queues], dtype=np.float64),
        quota=amounts([[one.quota for one in row] for row in given]),
        limit=amounts([[one.limit for one in row] for row in given]),
        weight=np.array([[one.over_quota_weight for one in row] for row in given], dtype=np.float64).reshape(shape),
        usage=np.array([[queue.usage.get(name, 0.0) for name in resources] for queue in queues]).reshape(shape),
    )


def _requested(
    question: Document, table: QueueTable, resources: list[str]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """What each queue asks for: as given, else the sum over its children."""
    entries = {queue.name: queue for queue in question.queues}
    requested = np.zeros((len(table), len(resources)))
    for row in reversed(table.top_down):
        said = entries[table.names[row]].requested
        if said is not None:
            requested[row] = [said.get(name, 0.0) for name in resources]
        else:
            requested[row] = requested[table.children.get(row, [])].sum(axis=0)
    return requested


def _overcommitted(question: Document, table: QueueTable, resources: list[str]) -> list[str]:
    """Quotas of the top queues that add up to more than there is are all granted, which is worth a word."""
    quotas = np.where(np.isinf(table.quota), 0.0, table.quota)[table.children.get(ROOT, [])].sum(axis=0)
    return [
        f"the quotas of {name} add up to {quota:g} of {question.total.get(name, 0.0):g} that exist: all are granted"
        for name, quota in zip(resources, quotas.tolist(), strict=True)
        if quota > question.total.get(name, 0.0)
    ]
