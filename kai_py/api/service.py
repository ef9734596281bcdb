"""Service: which pods are reached under one name. Nothing else of it is read."""

from __future__ import annotations

from collections.abc import Mapping

from kai_py.api.meta import NO_STRINGS, ObjectMeta, Record


class ServiceSpec(Record, frozen=True):
    """Labels that its pods have; without any it selects nobody."""

    selector: Mapping[str, str] | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        """The same; empty where nobody is selected."""
        return self.selector or NO_STRINGS


class Service(Record, frozen=True):
    """A name for some pods."""

    metadata: ObjectMeta
    spec: ServiceSpec = ServiceSpec()
