"""PriorityClass."""

from __future__ import annotations

from kai_py.api.meta import ObjectMeta, Record


class PriorityClass(Record, frozen=True):
    """A named priority. The one that is ``global_default`` holds for pods that name none."""

    metadata: ObjectMeta
    value: int
    global_default: bool = False
    preemption_policy: str = "PreemptLowerPriority"
