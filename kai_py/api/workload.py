"""Owners of pods: Jobs, ReplicaSets and whatever kinds a cluster has, as far as grouping their pods needs them."""

from __future__ import annotations

from typing import Any

import msgspec

from kai_py.api.meta import PartialObject


class Workload(PartialObject, frozen=True):
    """An object of any kind: its metadata as a struct, spec and status as they were sent."""

    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)
