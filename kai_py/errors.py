"""The exception tree, drawn once.

::

    KaiError
    ├── InputError                 what a user or another program gave us is wrong; names object and field
    │   ├── MalformedObjectError   one API object
    │   └── SettingsError          the settings document; carries all faults
    ├── ApiError                   the API server said no
    │   ├── ConflictError          409: someone else was faster; read again
    │   ├── NotFoundError          404
    │   ├── InvalidError           422
    │   ├── ForbiddenError         401 or 403
    │   ├── ThrottledError         429, with the time to wait
    │   ├── GoneError              410: the resourceVersion is too old; list again
    │   └── UnavailableError       5xx, or no answer at all; try again later
    ├── SelectorError              a CEL selector gives no answer for a device (``core.dra.cel.errors``)
    │   ├── EvaluationError        its own fault: a missing attribute, an overflow
    │   ├── LimitError             it costs too much
    │   └── InternalError          a bug of ours, while evaluating
    ├── ClaimRefusedError          a ResourceClaim cannot be had for the pods that it was meant for
    ├── LeaseLostError             we are not the leader (any more)
    └── InvariantError             a bug of ours: the state contradicts itself

"Does not fit" is not an error but an answer: see ``core.result.Diagnosis``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class KaiError(Exception):
    """Base of everything that kai-py raises on purpose. ``code`` is stable and documented."""

    code = "KaiError"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with an input.

    Attributes:
        where: the object, e.g. ``Queue research`` or ``cluster.yaml document 3: Pod default/a``.
        field: path of the field, e.g. ``spec.parentQueue``; empty for the object as a whole.
        message: what is wrong, and what would be right.
    """

    where: str
    field: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.field, self.message) if part)


class InputError(KaiError):
    """Something we were given is wrong. All faults are reported together."""

    code = "InvalidInput"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


class MalformedObjectError(InputError):
    """One API object cannot be understood; the others go on."""

    code = "MalformedObject"


class SettingsError(InputError):
    """The settings document is refused; the last good settings stay."""

    code = "InvalidSettings"


class ApiError(KaiError):
    """The API server refused a request, or did not answer.

    Attributes:
        status: the HTTP status, 0 when there was no answer.
        reason: the ``reason`` of the server's Status object, e.g. ``AlreadyExists``.
        causes: ``(reason, field, message)`` of the Status' causes.
    """

    code = "ApiError"

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", causes: Sequence[tuple[str, str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.causes = tuple(causes)


class ConflictError(ApiError):
    """409: someone else was faster, or a precondition failed."""

    code = "Conflict"


class NotFoundError(ApiError):
    """404: the object is gone, or its kind is not served."""

    code = "NotFound"


class InvalidError(ApiError):
    """422: the object is invalid, or (cause ``Forbidden``) a field may not be written by us."""

    code = "Invalid"


class ForbiddenError(ApiError):
    """401 or 403: our credentials do not allow it."""

    code = "Forbidden"


class ThrottledError(ApiError):
    """429: too many requests, or a disruption budget is used up. ``retry_after`` is in seconds."""

    code = "Throttled"

    def __init__(self, message: str, *, retry_after: float = 1.0, **details: object) -> None:
        super().__init__(message, **details)  # type: ignore[arg-type]  # keyword pass-through of ApiError's own
        self.retry_after = retry_after


class GoneError(ApiError):
    """410: the resourceVersion is too old; list again."""

    code = "Gone"


class UnavailableError(ApiError):
    """5xx or a broken connection: try again later."""

    code = "Unavailable"


class ClaimRefusedError(KaiError):
    """A ResourceClaim cannot be had for the pods that it was meant for; they are not bound."""

    code = "ClaimRefused"


class ShareRefusedError(ClaimRefusedError):
    """A part of a GPU cannot be had for a pod; the pods that were to start with it are not bound.

    ``blame`` tells whether the node is at fault, so that another one should be tried.
    """

    code = "ShareRefused"

    def __init__(self, message: str, *, blame: bool = False) -> None:
        super().__init__(message)
        self.blame = blame


class LeaseLostError(KaiError):
    """This process is not the leader, so it must not send decisions."""

    code = "LeaseLost"


class InvariantError(KaiError):
    """The state contradicts itself: a bug of ours, found before it could do harm."""

    code = "Invariant"
