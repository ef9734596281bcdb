"""What a kind may have rules about, with the answers of a kind that has none."""

from __future__ import annotations

from typing import Any, Protocol

from kai_py.minicluster.refusals import Faults

Object = dict[str, Any]


class Reader(Protocol):
    """What rules may look up beside the object itself."""

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """An object, or None."""
        ...

    def all(self, kind: str, namespace: str = "") -> list[Object]:
        """All objects of a kind; of one namespace, if given."""
        ...


class Rules:
    """Defaults, admission and validation of one kind. ``prepare`` changes the object, ``validate`` only looks.

    Attributes:
        keeps_status: whether a new object may bring its status.
    """

    keeps_status = False

    def default(self, obj: Object) -> None:
        """Fill in defaults; on every write."""

    def prepare_create(self, obj: Object, reader: Reader) -> None:
        """Admission on create: may change the object, or raise a RefusedError."""

    def prepare_update(self, new: Object, old: Object, reader: Reader) -> None:
        """Admission on an update of the main resource."""

    def prepare_status(self, new: Object, old: Object, reader: Reader) -> None:
        """Adjust a write to ``status``, or raise a RefusedError; spec is already the old one."""

    def validate(self, obj: Object, faults: Faults) -> None:
        """Add what is wrong with the object by itself."""

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """Add what may not change."""

    def validate_status(self, new: Object, old: Object, faults: Faults) -> None:
        """Add what is wrong with a write to ``status``."""
