"""Reviews over HTTPS, as an API server sends them."""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from kai_py.admission.verdict import Request, Verdict
from kai_py.operators import review_server
from kai_py.operators.certificates import CERTIFICATE, KEY, make
from kai_py.operators.review_server import MAX_BYTES, ReviewServer, read_pod, read_whole
from tests.e2e.control_plane import free_ports


async def certificate(folder: Path) -> bytes:
    pair = await make(["127.0.0.1"])
    for name, content in ((KEY, pair.key), (CERTIFICATE, pair.certificate)):
        (folder / name).write_bytes(content)
    return pair.certificate


async def decide(request: Request, name: str) -> Verdict:
    if name == "bad":
        return Verdict("no", 403)
    return Verdict(warnings=("careful",)) if request.operation == "UPDATE" else Verdict()


@pytest.fixture
async def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(review_server, "CHECK_SECONDS", 0.05)
    await certificate(tmp_path)
    (port,) = free_ports(1)
    async with ReviewServer({"things": decide}).serving("127.0.0.1", port, tmp_path):
        yield f"https://127.0.0.1:{port}"


def trusting(text: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=text.decode())


async def post(url: str, body: Any, path: Path) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    context = trusting((path / CERTIFICATE).read_bytes())
    headers = {"Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
        session.post(url, data=io.BytesIO(data), headers=headers) as answer,
    ):
        text = await answer.read()
        return answer.status, json.loads(text) if answer.status == 200 else text.decode()


def review(name: str, operation: str = "CREATE", **more: Any) -> dict[str, Any]:
    request = {"uid": "u", "operation": operation, "name": name, "namespace": "ns", "object": {"a": 1}, **more}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


async def test_answers_are_as_the_api_server_wants_them(url: str, tmp_path: Path) -> None:
    head = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    found = await post(f"{url}/things", review("good"), tmp_path)
    assert found == (200, {**head, "response": {"uid": "u", "allowed": True}})
    status, refused = await post(f"{url}/things", review("bad"), tmp_path)
    assert status == 200
    assert refused["response"] == {"uid": "u", "allowed": False, "status": {"message": "no", "code": 403}}
    _, warned = await post(f"{url}/things", review("x", "UPDATE", oldObject={"a": 0}), tmp_path)
    assert warned["response"] == {"uid": "u", "allowed": True, "warnings": ["careful"]}


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("nothing", review("x"), 404, "nothing is reviewed at /nothing"),
        ("things", b"{", 400, "this is no AdmissionReview"),
        ("things", {"request": {}}, 400, "uid"),
        ("things", review("x", object=[1]), 400, "this is no AdmissionReview"),
        ("things", review("x", "CONNECT"), 400, "nothing is connected"),
        ("things", b"x" * (MAX_BYTES + 1), 413, "at most"),
    ],
)
async def test_what_is_no_review_is_said_to_be_none(
    url: str, tmp_path: Path, path: str, body: Any, status: int, said: str
) -> None:
    found, text = await post(f"{url}/{path}", body, tmp_path)
    assert found == status
    assert said in text
    assert (await post(f"{url}/things", review("good"), tmp_path))[0] == 200


async def test_large_objects_are_looked_at(url: str, tmp_path: Path) -> None:
    large = review("good", object={"a": "x" * 3_000_000})
    assert (await post(f"{url}/things", large, tmp_path))[0] == 200


async def test_a_renewed_certificate_is_taken_while_open_connections_go_on(url: str, tmp_path: Path) -> None:
    old = (tmp_path / CERTIFICATE).read_bytes()
    connector = aiohttp.TCPConnector(ssl=trusting(old))
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask() -> int:
            async with session.post(f"{url}/things", data=json.dumps(review("good"))) as answer:
                await answer.read()
                return answer.status

        assert await ask() == 200
        await certificate(tmp_path)
        for _ in range(100):
            try:
                assert (await post(f"{url}/things", review("good"), tmp_path))[0] == 200
                break
            except aiohttp.ClientError:
                continue
        else:
            raise AssertionError("the new certificate was never served")
        assert await ask() == 200


def test_of_a_pod_only_what_is_looked_at_is_read() -> None:
    pod = {
        "metadata": {"name": "p", "labels": {"a": "b"}, "annotations": {"c": "d"}, "uid": None},
        "spec": {"schedulerName": "s", "containers": [{"name": "m"}], "nodeName": None},
    }
    raw = msgspec.Raw(json.dumps(pod).encode())
    assert read_pod(raw) == {"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"schedulerName": "s"}}
    assert read_pod(msgspec.Raw(b"null")) == read_whole(msgspec.Raw(b"null")) == {}
    assert read_whole(raw)["spec"] == {"schedulerName": "s", "containers": [{"name": "m"}]}
