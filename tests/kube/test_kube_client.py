from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
from pathlib import Path

import pytest
from aiohttp import web
from scripted_server import ScriptedServer, hang_up, kubeconfig_text, ok, refusal

from kai_py.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InputError,
    InvalidError,
    NotFoundError,
    ThrottledError,
    UnavailableError,
)
from kai_py.kube import access
from kai_py.kube.client import ApiClient, connect
from kai_py.kube.status import error_of


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ApiError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, GoneError),
        (422, InvalidError),
        (429, ThrottledError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
async def test_a_refusal_becomes_the_error_of_its_status(
    server: ScriptedServer, client: ApiClient, status: int, error: type[ApiError]
):
    server.on("GET", "/x", refusal(status, "because", causes=[{"reason": "Why", "field": "spec.f", "message": "m"}]))
    with pytest.raises(ApiError, match="because") as caught:
        await client.get("/x")
    assert type(caught.value) is error
    assert caught.value.status == status
    assert caught.value.reason == f"R{status}"
    assert caught.value.causes == (("Why", "spec.f", "m"),)


async def test_a_throttled_client_is_told_how_long_to_wait(server: ScriptedServer, client: ApiClient):
    server.on("POST", "/x", refusal(429, Retry_After="7"))
    with pytest.raises(ThrottledError) as caught:
        await client.post("/x", {})
    assert caught.value.retry_after == 7.0


def test_a_proxys_error_page_is_a_message():
    error = error_of(502, b"<html>Bad gateway</html>", request="GET /x")
    assert isinstance(error, UnavailableError)
    assert "Bad gateway" in str(error)


async def test_a_broken_connection_is_unavailable_without_a_status(server: ScriptedServer, client: ApiClient):
    server.on("POST", "/x", hang_up)
    with pytest.raises(UnavailableError) as caught:
        await client.post("/x", {})
    assert caught.value.status == 0


async def test_an_answer_that_does_not_come_is_unavailable(server: ScriptedServer, client: ApiClient):
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    server.on("POST", "/x", never)
    with pytest.raises(UnavailableError, match="no answer"):
        await client.post("/x", {}, within=0.05)


async def test_requests_carry_who_we_are_and_little_else(server: ScriptedServer, client: ApiClient):
    server.on("POST", "/x", ok())
    await client.post("/x", b'{"a":1}')
    [asked] = server.asked
    assert asked.body == {"a": 1}
    assert asked.headers["Authorization"] == "Bearer secret"
    assert asked.headers["User-Agent"].startswith("kai-py/")
    assert set(asked.headers) == {"Host", "Accept", "Content-Type", "Content-Length", "User-Agent", "Authorization"}


async def test_a_path_is_sent_as_it_is_and_its_query_is_quoted(server: ScriptedServer, client: ApiClient):
    server.on("GET", "/a:b", ok())
    await client.get("/a%3Ab", params={"labelSelector": "a=b,c in (d)", "limit": 5})
    assert server.asked[0].query == {"labelSelector": "a=b,c in (d)", "limit": "5"}


async def test_connections_are_kept_and_bounded(server: ScriptedServer, tmp_path: Path):
    peers = set()

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        await asyncio.sleep(0.001)
        return web.Response()

    server.on("POST", "/x", answer)
    path = tmp_path / "config"
    path.write_text(kubeconfig_text(server.url))
    async with await connect(str(path), max_requests=3) as client:
        await asyncio.gather(*(client.post("/x", {}) for _ in range(30)))
    assert len(peers) == 3


async def test_a_token_that_is_refused_is_read_anew_once_for_all(server: ScriptedServer, tmp_path: Path):
    token, config = tmp_path / "token", tmp_path / "config"
    token.write_text("old\n")
    config.write_text(kubeconfig_text(server.url, {"tokenFile": str(token)}))

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] == "Bearer new":
            return web.Response()
        return await refusal(401, "expired")(request)

    server.on("POST", "/x", answer)
    async with await connect(str(config)) as client:
        token.write_text("new\n")
        await asyncio.gather(*(client.post("/x", {}) for _ in range(5)))
        assert len(server.asked) == 10
        token.write_text("wrong")
        await client.post("/x", {})
        assert len(server.asked) == 11


async def test_credentials_are_renewed_once_for_all_requests_that_were_refused_together(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    token, config = tmp_path / "token", tmp_path / "config"
    token.write_text("old")
    config.write_text(kubeconfig_text(server.url, {"tokenFile": str(token)}))
    loads = []
    load = access.load_kube_config

    async def counted(*args: object, **kwargs: object) -> object:
        loads.append(args)
        return await load(*args, **kwargs)

    async def answer(request: web.Request) -> web.StreamResponse:
        new = request.headers["Authorization"] == "Bearer new"
        return web.Response() if new else await refusal(401)(request)

    server.on("POST", "/x", answer)
    async with await connect(str(config)) as client:
        token.write_text("new")
        monkeypatch.setattr(access, "load_kube_config", counted)
        await asyncio.gather(*(client.post("/x", {}) for _ in range(5)))
    assert len(loads) == 1


async def test_a_redirection_is_not_followed_with_our_credentials(server: ScriptedServer, client: ApiClient):
    server.on("GET", "/x", refusal(302, Location="/y"))
    server.on("GET", "/y", ok())
    with pytest.raises(ApiError):
        await client.get("/x")
    assert len(server.asked) == 1


async def test_credentials_that_stay_wrong_are_forbidden_after_one_more_try(server: ScriptedServer, client: ApiClient):
    server.on("POST", "/x", refusal(401))
    with pytest.raises(ForbiddenError):
        await client.post("/x", {})
    assert len(server.asked) == 2


async def test_a_kubeconfig_that_has_vanished_does_not_hide_the_refusal(
    server: ScriptedServer, client: ApiClient, tmp_path: Path
):
    server.on("POST", "/x", refusal(401, "who are you"))
    (tmp_path / "kubeconfig").unlink()
    with pytest.raises(ForbiddenError, match=r"who are you.*there is no such file"):
        await client.post("/x", {})


async def test_a_rotated_token_is_used_when_a_minute_has_passed(tmp_path: Path):
    token, config = tmp_path / "token", tmp_path / "config"
    token.write_text("old")
    config.write_text(kubeconfig_text("http://127.0.0.1:1", {"tokenFile": str(token)}))
    now = [0.0]
    found = await access.find_access(str(config))
    load = access._kubeconfig_loader(str(config), None)
    rotating = access.Access(load, *await load(), clock=lambda: now[0])
    token.write_text("new")
    assert await rotating.authorization() == "Bearer old"
    now[0] = access.REFRESH_SECONDS
    assert await rotating.authorization() == "Bearer new"
    token.unlink()
    now[0] *= 2
    assert await rotating.authorization() == "Bearer new"
    assert found.host == "http://127.0.0.1:1"


async def test_a_pods_service_account_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: Path):
    (tmp_path / "token").write_text("projected\n")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(access, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    incluster = "kubernetes_asyncio.config.incluster_config"
    monkeypatch.setattr(f"{incluster}.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{incluster}.SERVICE_CERT_FILENAME", str(certificate))
    found = await access.find_access()
    assert found.host == "https://10.0.0.1:443"
    assert await found.authorization() == "Bearer projected"
    (tmp_path / "token").write_text("rotated\n")
    await found.renew()
    assert await found.authorization() == "Bearer rotated"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{}", "clusters|current-context|contexts"),
        ("a: [", "expected"),
        ("- a\n- b", "."),
        (kubeconfig_text("http://h").replace("current-context: x", "current-context: y"), "y"),
        (kubeconfig_text("https://h", cluster={"certificate-authority": "/none.crt"}), "none.crt"),
        (kubeconfig_text("https://h", {"client-certificate-data": "AAAA", "client-key-data": "AAAA"}), "."),
    ],
)
async def test_a_malformed_kubeconfig_is_a_fault_that_names_it(tmp_path: Path, text: str, fault: str):
    path = tmp_path / "broken"
    path.write_text(text)
    with pytest.raises(InputError, match=fault):
        await connect(str(path))


async def test_a_missing_kubeconfig_is_a_fault(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        await connect(str(tmp_path / "none"))


async def test_an_unknown_context_is_a_fault(tmp_path: Path):
    path = tmp_path / "config"
    path.write_text(kubeconfig_text("http://h"))
    with pytest.raises(InputError, match="prod"):
        await connect(str(path), "prod")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1; its key lies beside it."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-days", "2"]
    command += ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    return folder / "cert.pem"


async def test_tls_is_verified_against_the_clusters_authority(tmp_path: Path, certificate: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.parent / "key.pem")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    trusting, doubting = tmp_path / "trusting", tmp_path / "doubting"
    trusting.write_text(kubeconfig_text(url, cluster={"certificate-authority": os.fspath(certificate)}))
    doubting.write_text(kubeconfig_text(url))
    async with server:
        async with await connect(str(trusting)) as client:
            assert await client.get("/") == b"ok"
        async with await connect(str(doubting)) as client:
            with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get("/")


@pytest.mark.parametrize(
    ("server", "exceptions", "proxied"),
    [
        ("https://api.example.com:6443", "", True),
        ("https://api.example.com:6443", "example.com", False),
        ("https://api.example.com:6443", "*", False),
        ("https://10.0.0.1", "10.1.0.0/16", True),
        ("https://10.0.0.1", "other.org, 10.0.0.0/8", False),
        ("https://10.0.0.1", "10.0.0.1", False),
        ("https://[fd00::1]:443", "fd00::/8", False),
        ("https://127.0.0.1:6443", "", False),
        ("https://localhost:6443", "", False),
        ("http://10.0.0.1", "", False),
    ],
)
def test_the_environment_names_the_proxy(monkeypatch: pytest.MonkeyPatch, server: str, exceptions: str, proxied: bool):
    for name in ("http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", exceptions)
    assert access.proxy_from_environment(server) == ("http://proxy:3128" if proxied else None)


async def test_a_kind_is_served_when_discovery_lists_it(server: ScriptedServer, client: ApiClient):
    server.on("GET", "/apis/scheduling.run.ai/v2", ok({"resources": [{"name": "queues"}, {"name": "queues/status"}]}))
    assert await client.served("scheduling.run.ai", "v2", "queues")
    assert not await client.served("scheduling.run.ai", "v2", "others")
    assert not await client.served("nobody.example", "v1", "queues")
