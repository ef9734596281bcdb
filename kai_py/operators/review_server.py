"""Answers AdmissionReviews over HTTPS.

kopf could do it, and builds a world around each object first, at five times the cost of all the rest: differences,
patches, a logger, a state for its retries. Here a review is decoded, decided and answered.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp.web
import msgspec
import structlog

from kai_py.admission.verdict import Request, Verdict
from kai_py.api.decode import without_nulls
from kai_py.operators.certificates import CERTIFICATE, KEY

_log = structlog.get_logger()

#: An object has at most 1.5 MiB in etcd; a review of a change holds two, and says more about them.
MAX_BYTES: Final = 8 * 2**20
#: How often the certificate's files are looked at, seconds.
CHECK_SECONDS: Final = 10.0
_JSON: Final = "application/json"

Json = dict[str, Any]
#: Answers one kind's questions; what is asked about, and in which namespace and of which name.
Answer = Callable[[Request, str], Awaitable[Verdict]]


class _Question(msgspec.Struct, frozen=True):
    uid: str
    operation: Literal["CREATE", "UPDATE", "DELETE", "CONNECT"] = "CREATE"
    namespace: str = ""
    name: str = ""
    object: msgspec.Raw = msgspec.Raw(b"null")
    oldObject: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815  # as on the wire


class _Review(msgspec.Struct, frozen=True):
    request: _Question
    apiVersion: str = "admission.k8s.io/v1"  # noqa: N815  # as on the wire


class _Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str | None = None
    labels: dict[str, str] | None = None


class _PodSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    schedulerName: str | None = None  # noqa: N815  # as on the wire


class SlimPod(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a pod is looked at: a pod may have a megabyte, and there are many of them."""

    metadata: _Meta = _Meta()
    spec: _PodSpec = _PodSpec()


_review: Final = msgspec.json.Decoder(_Review)
_whole: Final = msgspec.json.Decoder(dict[str, Any] | None)
_slim: Final = msgspec.json.Decoder(SlimPod | None)
_encode: Final = msgspec.json.Encoder().encode


def read_whole(raw: msgspec.Raw) -> Json:
    """An object as it was sent, without the nulls that mean nothing; empty for none."""
    found = without_nulls(_whole.decode(raw) or {})
    return found if isinstance(found, dict) else {}


def read_pod(raw: msgspec.Raw) -> Json:
    """The same of a pod, with what is looked at alone."""
    pod = _slim.decode(raw)
    found: Json = msgspec.to_builtins(pod) if pod is not None else {}
    return found


class ReviewServer:
    """Serves reviews under one path for each kind.

    Args:
        answers: by path, without the slash.
        readers: how objects are read where not all of them is wanted, by path.
    """

    def __init__(
        self, answers: Mapping[str, Answer], readers: Mapping[str, Callable[[msgspec.Raw], Json]] | None = None
    ) -> None:
        self._answers = answers
        self._readers = readers or {}

    @asynccontextmanager
    async def serving(self, address: str, port: int, folder: Path) -> AsyncIterator[None]:
        """Serve with the certificate in a folder while the block runs; a new one there is taken within seconds.

        Args:
            address: empty for every interface.
            port: where to listen.
            folder: has ``tls.crt`` and ``tls.key``.

        Raises:
            OSError: the port is taken, or there is no certificate.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
        runner = aiohttp.web.ServerRunner(aiohttp.web.Server(self.handle, access_log=None), handle_signals=False)
        await runner.setup()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(runner.cleanup)
            await aiohttp.web.TCPSite(runner, address or None, port, ssl_context=context).start()
            renewing = asyncio.create_task(_follow(context, folder), name="certificate files")
            stack.callback(renewing.cancel)
            yield

    async def handle(self, request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        """Answer one review."""
        path = request.path.strip("/")
        if (answer := self._answers.get(path)) is None:
            return _wrong(404, f"nothing is reviewed at {request.path}")
        body = bytearray()
        async for part in request.content.iter_any():
            body += part
            if len(body) > MAX_BYTES:
                return _wrong(413, f"a review has at most {MAX_BYTES} bytes")
        try:
            review = _review.decode(body)
            asked = review.request
            operation = asked.operation
            if operation == "CONNECT":
                return _wrong(400, "nothing is connected to here")
            read = self._readers.get(path, read_whole)
            question = Request(operation, read(asked.object), read(asked.oldObject), asked.namespace)
        except msgspec.DecodeError as error:
            return _wrong(400, f"this is no AdmissionReview: {error}")
        verdict = await answer(question, asked.name or question.name)
        return aiohttp.web.Response(body=_encode(_reply(review, verdict)), content_type=_JSON)


def _reply(review: _Review, verdict: Verdict) -> Json:
    response: Json = {"uid": review.request.uid, "allowed": verdict.allowed}
    if verdict.warnings:
        response["warnings"] = list(verdict.warnings)
    if verdict.allowed and verdict.changes:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(_encode(verdict.changes)).decode()}
    if not verdict.allowed:
        response["status"] = {"message": verdict.refusal, "code": verdict.code}
    return {"apiVersion": review.apiVersion, "kind": "AdmissionReview", "response": response}


def _wrong(status: int, why: str) -> aiohttp.web.Response:
    return aiohttp.web.Response(status=status, text=why)


async def _follow(context: ssl.SSLContext, folder: Path) -> None:
    """Take a renewed certificate for new connections; old ones go on with theirs."""
    seen = _stamp(folder)
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        try:
            if (now := _stamp(folder)) == seen:
                continue
            context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
        except (OSError, ssl.SSLError) as error:  # half written: the next look finds it whole
            _log.warning("certificate not taken", error=str(error))
        else:
            seen = now
            _log.info("certificate taken")


def _stamp(folder: Path) -> tuple[tuple[int, int, int], ...]:
    stats = [(folder / name).stat() for name in (CERTIFICATE, KEY)]
    return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in stats)
