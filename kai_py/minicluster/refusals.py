"""How the server says no: one exception, and a constructor for each reason a kube-apiserver knows.

The texts and details are those of the real server, because clients parse them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from kai_py.errors import ApiError


class Named(Protocol):
    """What a refusal needs to know about a kind."""

    @property
    def group(self) -> str:
        """API group, empty for core."""
        ...

    @property
    def kind(self) -> str:
        """CamelCase kind."""
        ...

    @property
    def plural(self) -> str:
        """Lower-case plural."""
        ...


@dataclass(frozen=True, slots=True)
class Cause:
    """One fault of an object: the reason's code, the field's path, the sentence."""

    reason: str
    field: str
    message: str


class Faults(list[Cause]):
    """The faults of one object, collected while it is validated. An empty list means: valid."""

    def required(self, field: str, detail: str = "") -> None:
        """A field that must be there is not."""
        self._add("FieldValueRequired", field, "Required value" + (f": {detail}" if detail else ""))

    def invalid(self, field: str, value: object, detail: str) -> None:
        """A value that is not allowed."""
        self._add("FieldValueInvalid", field, f"Invalid value: {shown(value)}: {detail}")

    def forbidden(self, field: str, detail: str) -> None:
        """A field that may not be set, or not be changed."""
        self._add("FieldValueForbidden", field, f"Forbidden: {detail}")

    def duplicate(self, field: str, value: object) -> None:
        """A second entry with the same key."""
        self._add("FieldValueDuplicate", field, f"Duplicate value: {shown(value)}")

    def not_supported(self, field: str, value: object, allowed: Iterable[str]) -> None:
        """A value outside a closed set."""
        names = ", ".join(f'"{name}"' for name in sorted(allowed))
        self._add("FieldValueNotSupported", field, f"Unsupported value: {shown(value)}: supported values: {names}")

    def not_found(self, field: str, value: object) -> None:
        """A reference to something that does not exist within the object."""
        self._add("FieldValueNotFound", field, f"Not found: {shown(value)}")

    def too_long(self, field: str, limit: int) -> None:
        """A text beyond its limit."""
        self._add("FieldValueTooLong", field, f"Too long: may not be more than {limit} bytes")

    def too_many(self, field: str, count: int, limit: int) -> None:
        """A list beyond its limit."""
        self._add("FieldValueTooMany", field, f"Too many: {count}: must have at most {limit} items")

    def wrong_type(self, field: str, value: object, detail: str) -> None:
        """A value of another JSON type than the schema says."""
        self._add("FieldValueTypeInvalid", field, f"Invalid value: {shown(value)}: {detail}")

    def _add(self, reason: str, field: str, message: str) -> None:
        self.append(Cause(reason, field, message))


def shown(value: object) -> str:
    """A value as the server prints it in a message."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'
        case None:
            return "null"
        case dict() | list():
            return "{...}" if isinstance(value, dict) else "[...]"
    return str(value)


class RefusedError(ApiError):
    """A request that the server refuses.

    Attributes:
        details: the ``details`` of the Status object, without causes.
        retry_after: seconds for the ``Retry-After`` header, if any.
    """

    code = "Refused"

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        causes: Iterable[Cause] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(
            message,
            status=status,
            reason=reason,
            causes=[(cause.reason, cause.field, cause.message) for cause in causes],
        )
        self.details = details or {}
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The ``Status`` object that a client sees."""
        details = dict(self.details)
        if self.causes:
            keys = ("reason", "message", "field")
            details["causes"] = [
                {key: text for key, text in zip(keys, (reason, message, field), strict=True) if text}
                for reason, field, message in self.causes
            ]
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
        }
        if self.reason:
            status["reason"] = self.reason
        if details:
            status["details"] = details
        return status | {"code": self.status}


def qualified(kind: Named) -> str:
    """``pods`` or ``deployments.apps``: how messages name a resource."""
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def _details(kind: Named, name: str, *, noun: str = "") -> dict[str, Any]:
    pairs = {"name": name, "group": kind.group, "kind": noun or kind.plural}
    return {key: text for key, text in pairs.items() if text}


def bad_request(message: str) -> RefusedError:
    """400: the request cannot be understood."""
    return RefusedError(400, "BadRequest", message)


def unauthorized() -> RefusedError:
    """401: no or wrong credentials."""
    return RefusedError(401, "Unauthorized", "Unauthorized")


def forbidden(kind: Named, name: str, why: str, *, causes: Iterable[Cause] = ()) -> RefusedError:
    """403: an admission plugin or the authoriser says no."""
    return RefusedError(
        403,
        "Forbidden",
        f'{qualified(kind)} "{name}" is forbidden: {why}' if name else f"{qualified(kind)} is forbidden: {why}",
        details=_details(kind, name),
        causes=causes,
    )


def not_found(kind: Named, name: str) -> RefusedError:
    """404: no such object."""
    return RefusedError(404, "NotFound", f'{qualified(kind)} "{name}" not found', details=_details(kind, name))


def no_such_path() -> RefusedError:
    """404: nothing is served at this path."""
    return RefusedError(404, "NotFound", "the server could not find the requested resource", details={})


def method_not_allowed() -> RefusedError:
    """405: the resource is served, the verb is not."""
    return RefusedError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def not_acceptable(accepted: str) -> RefusedError:
    """406: the client takes only media types that we do not speak."""
    return RefusedError(406, "NotAcceptable", f"only the following media types are accepted: {accepted}")


def already_exists(kind: Named, name: str) -> RefusedError:
    """409 on create."""
    return RefusedError(
        409, "AlreadyExists", f'{qualified(kind)} "{name}" already exists', details=_details(kind, name)
    )


def conflict(kind: Named, name: str, why: str, *, causes: Iterable[Cause] = ()) -> RefusedError:
    """409 on a write: a precondition does not hold."""
    return RefusedError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {qualified(kind)} "{name}": {why}',
        details=_details(kind, name),
        causes=causes,
    )


def modified(kind: Named, name: str) -> RefusedError:
    """409: somebody else was faster."""
    return conflict(
        kind, name, "the object has been modified; please apply your changes to the latest version and try again"
    )


def expired(message: str) -> RefusedError:
    """410: the resourceVersion or continue token is too old."""
    return RefusedError(410, "Expired", message)


def gone(asked: int, oldest: int) -> RefusedError:
    """410 for a watch that wants to start before our history does."""
    return RefusedError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def too_large(limit: int) -> RefusedError:
    """413: the body exceeds the limit."""
    return RefusedError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def unsupported_media_type(accepted: str) -> RefusedError:
    """415: a body of a type that we do not read."""
    return RefusedError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {accepted}",
    )


def invalid(kind: Named, name: str, causes: Iterable[Cause]) -> RefusedError:
    """422: the object breaks the rules of its kind."""
    listed = list(causes)
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in listed))
    summary = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    prefix = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    return RefusedError(
        422,
        "Invalid",
        f'{prefix} "{name}" is invalid: {summary}',
        details=_details(kind, name, noun=kind.kind),
        causes=listed,
    )


def too_many_requests(message: str, *, retry_after: int, causes: Iterable[Cause] = ()) -> RefusedError:
    """429: come back later."""
    return RefusedError(429, "TooManyRequests", message, causes=causes, retry_after=retry_after)


def internal(message: str) -> RefusedError:
    """500: the server failed, or cannot decide."""
    return RefusedError(500, "InternalError", f"Internal error occurred: {message}")


def future_version(asked: int, current: int) -> RefusedError:
    """504: a resourceVersion that we have not reached."""
    return RefusedError(
        504,
        "Timeout",
        f"Too large resource version: {asked}, current: {current}",
        causes=[Cause("ResourceVersionTooLarge", "", "Too large resource version")],
        retry_after=1,
    )
