"""What a refusal of the API server means: HTTP status and Status object to the tree in ``errors``."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kai_py.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    NotFoundError,
    ThrottledError,
    UnavailableError,
)

_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
}

#: A proxy's error page may be long; its beginning says enough.
_MESSAGE_LIMIT = 500


class _Cause(msgspec.Struct):
    reason: str | None = None
    field: str | None = None
    message: str | None = None


class _Details(msgspec.Struct, rename="camel"):
    causes: list[_Cause] | None = None
    retry_after_seconds: float | None = None


class _Status(msgspec.Struct):
    message: str | None = None
    reason: str | None = None
    code: int | None = None
    details: _Details | None = None


_STATUS = msgspec.json.Decoder(_Status)


def error_of(status: int, body: bytes | msgspec.Raw, *, request: str, retry_after: str | None = None) -> ApiError:
    """Make the error for a refused request.

    Args:
        status: HTTP status; 0 takes it from the body (an ERROR event of a watch has no other).
        body: a Status object as JSON, or whatever a proxy on the way has answered.
        request: method and path, for the message.
        retry_after: the header of that name. Only its form in seconds is understood; Kubernetes uses no other.
    """
    try:
        parsed = _STATUS.decode(body)
        text = parsed.message or ""
    except msgspec.MsgspecError:
        parsed, text = _Status(), bytes(body)[:_MESSAGE_LIMIT].decode(errors="replace")
    details = parsed.details or _Details()
    status = status or parsed.code or 0
    message = f"{request}: {status} {text or parsed.reason or 'without an explanation'}"
    reason = parsed.reason or ""
    causes = [(c.reason or "", c.field or "", c.message or "") for c in details.causes or ()]
    if status == 429:
        wait = _seconds(retry_after, details.retry_after_seconds)
        return ThrottledError(message, retry_after=wait, status=status, reason=reason, causes=causes)
    kind = UnavailableError if status >= 500 or status == 0 else _BY_STATUS.get(status, ApiError)
    return kind(message, status=status, reason=reason, causes=causes)


def _seconds(header: str | None, detail: float | None) -> float:
    """How long a throttled client shall wait; one second when the server does not say."""
    if header and header.strip().isdecimal():
        return float(header)
    return 1.0 if detail is None else float(detail)
