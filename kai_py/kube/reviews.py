"""Who is this, and may they? Asked of the API server for requests that reach us and not it.

Sources: TokenReview (``authentication.k8s.io/v1``) and SubjectAccessReview (``authorization.k8s.io/v1``) of the
Kubernetes API reference.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import msgspec

from kai_py.kube.client import ApiClient

#: An answer is believed for so long; seconds.
BELIEVED: Final = 10.0
#: So many answers are kept: whoever invents tokens must not fill our memory.
_MOST: Final = 1000


class Verdict(StrEnum):
    """What a request may do."""

    ALLOWED = "allowed"
    UNKNOWN = "unknown"
    FORBIDDEN = "forbidden"


class Reviews:
    """Asks the API server about bearer tokens.

    Args:
        client: with the right to create both kinds of reviews.
        clock: seconds, for how long answers are believed.
    """

    def __init__(self, client: ApiClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[tuple[bytes, str], tuple[float, Verdict]] = {}

    async def may_get(self, token: str, path: str) -> Verdict:
        """Whether the owner of a token may read a path that is no resource.

        Args:
            token: as it was sent; kept only as a hash.
            path: for instance ``/decisions``; what RBAC calls a nonResourceURL.

        Raises:
            ApiError: the server does not answer, or we may not ask.
        """
        key, now = (hashlib.sha256(token.encode()).digest(), path), self._clock()
        known = self._known.get(key)
        if known is not None and now - known[0] < BELIEVED:
            return known[1]
        verdict = await self._ask(token, path)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = now, verdict
        return verdict

    async def _ask(self, token: str, path: str) -> Verdict:
        review = await self._post("authentication.k8s.io", "TokenReview", {"token": token})
        if review.get("authenticated") is not True:
            return Verdict.UNKNOWN
        user = review.get("user") or {}
        subject = {
            "user": user.get("username", ""),
            "uid": user.get("uid", ""),
            "groups": user.get("groups") or [],
            "extra": user.get("extra") or {},
            "nonResourceAttributes": {"path": path, "verb": "get"},
        }
        access = await self._post("authorization.k8s.io", "SubjectAccessReview", subject)
        return Verdict.ALLOWED if access.get("allowed") is True else Verdict.FORBIDDEN

    async def _post(self, group: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}
        answer = await self._client.post(f"/apis/{group}/v1/{kind.lower()}s", body)
        status: dict[str, Any] = msgspec.json.decode(answer).get("status") or {}
        return status
