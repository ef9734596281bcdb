"""ConfigMaps, of which only the texts are read."""

from __future__ import annotations

from collections.abc import Mapping

from kai_py.api.meta import NO_STRINGS, ObjectMeta, Record


class ConfigMap(Record, frozen=True):
    """A ConfigMap without its binary data."""

    metadata: ObjectMeta
    data: Mapping[str, str] = NO_STRINGS
