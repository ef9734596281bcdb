"""What a request may ask for beside its object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Validation = Literal["Strict", "Warn", "Ignore"]
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(slots=True, kw_only=True)
class WriteOptions:
    """Options of create, update and patch.

    Attributes:
        dry_run: do everything but store.
        validation: what unknown fields lead to.
        manager: ``fieldManager``.
        force: take over fields in conflict (server-side apply).
        warnings: filled by the write, sent as ``Warning`` headers.
    """

    dry_run: bool = False
    validation: Validation = "Warn"
    manager: str = ""
    force: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class DeleteOptions:
    """Options of delete.

    Attributes:
        grace: seconds a bound pod gets; None: what the pod says.
        uid: refuse if the object has another uid.
        resource_version: refuse if the object has changed since.
        propagation: what happens to dependents.
    """

    grace: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    propagation: Propagation | None = None
    dry_run: bool = False


@dataclass(slots=True, kw_only=True)
class Precondition:
    """What must hold for a write, from ``metadata`` or ``preconditions``."""

    uid: str | None = None
    resource_version: str | None = None

    @classmethod
    def of(cls, meta: dict[str, Any]) -> Precondition:
        """The preconditions that an object's metadata states."""
        return cls(uid=meta.get("uid"), resource_version=meta.get("resourceVersion"))
