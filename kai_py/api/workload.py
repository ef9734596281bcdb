"""Owners of pods: Jobs, ReplicaSets and whatever kinds a cluster has, as far as grouping their pods needs them."""

from __future__ import annotations

from typing import Any

import msgspec

from kai_py.api.meta import PartialObject, Record


class Workload(PartialObject, frozen=True):
    """An object of any kind: its metadata as a struct, spec and status as they were sent."""

    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)


class IndexedSpec(Record, frozen=True):
    """Of a Job or a StatefulSet, how many pods it makes, and which indices they have."""

    parallelism: int | None = None
    completions: int | None = None
    completion_mode: str = ""
    replicas: int | None = None
    ordinals: dict[str, Any] | None = None


class IndexedWorkload(PartialObject, frozen=True):
    """A Job or a StatefulSet, of which there are many: metadata, and of the spec no more than this."""

    spec: IndexedSpec = IndexedSpec()

    def whole(self) -> Workload:
        """The same in the shape that rules of grouping read."""
        spec: dict[str, Any] = msgspec.to_builtins(self.spec)
        return Workload(api_version=self.api_version, kind=self.kind, metadata=self.metadata, spec=spec)
