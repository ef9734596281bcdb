"""Access reviews: everybody may do everything here, and is told so."""

from __future__ import annotations

import msgspec

from kai_py.minicluster.refusals import bad_request, method_not_allowed, no_such_path

from .handlers import Answer
from .media import decode_body
from .routes import Route

_KINDS = {"selfsubjectaccessreviews": "SelfSubjectAccessReview", "subjectaccessreviews": "SubjectAccessReview"}


def answer(method: str, route: Route, body: bytes, content_type: str) -> Answer:
    """Answer an access review.

    Raises:
        RefusedError: 400, 404 or 405.
    """
    if route.plural not in _KINDS or route.name:
        raise no_such_path()
    if method != "POST":
        raise method_not_allowed()
    try:
        review = msgspec.json.decode(decode_body(body, content_type))
    except msgspec.DecodeError as error:
        raise bad_request(f"error decoding the request's body: {error}") from error
    if not isinstance(review, dict) or review.get("kind", _KINDS[route.plural]) != _KINDS[route.plural]:
        raise bad_request(f"the request's body is no {_KINDS[route.plural]}")
    review = {"kind": _KINDS[route.plural], "apiVersion": "authorization.k8s.io/v1", "metadata": {}} | review
    review["status"] = {"allowed": True, "reason": "the minicluster has no authorisation"}
    return Answer(msgspec.json.encode(review), status=201)
