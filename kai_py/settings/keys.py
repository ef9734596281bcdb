"""The settings as a flat list of keys, for whoever shows or searches them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args, get_origin

from pydantic.fields import FieldInfo

from kai_py.settings.base import SettingsGroup
from kai_py.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Key:
    """One key, for instance ``fairness.kValue``.

    Attributes:
        path: where it stands in the document; below a list it goes on with ``[]``.
        owner: the group that it stands in.
        field: its declaration.
        group: the group that it opens, or that the items of its list are; ``None`` for a plain value.
    """

    path: str
    owner: type[SettingsGroup]
    field: FieldInfo
    group: type[SettingsGroup] | None

    @property
    def parent(self) -> str:
        """The path of the group that the key stands in; empty at the top."""
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


def every_key(group: type[SettingsGroup] = Settings, prefix: str = "") -> Iterator[Key]:
    """All keys, in the order of declaration, each group before its members."""
    for field in group.model_fields.values():
        inner = _group_in(field.annotation)
        key = Key(f"{prefix}{field.alias}", group, field, inner)
        yield key
        if inner is not None:
            listed = "[]" if get_origin(field.annotation) is tuple else ""
            yield from every_key(inner, f"{key.path}{listed}.")


def _group_in(annotation: object) -> type[SettingsGroup] | None:
    if isinstance(annotation, type) and issubclass(annotation, SettingsGroup):
        return annotation
    return next((group for group in map(_group_in, get_args(annotation)) if group is not None), None)
