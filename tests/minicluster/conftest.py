"""The embedded server, and beside it a real kube-apiserver when ``KUBEBUILDER_ASSETS`` names its binaries."""

from __future__ import annotations

import asyncio
import io
import json
import os
import secrets
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kai_py.minicluster import MiniCluster


@dataclass
class Reply:
    """Status and body of an answer."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        return self.body.get("reason", "")

    @property
    def message(self) -> str:
        return self.body.get("message", "")

    @property
    def fields(self) -> list[str]:
        return [cause.get("field", "") for cause in self.body.get("details", {}).get("causes", ())]


class Api:
    """A plain HTTP client, so that tests see exactly what is on the wire."""

    def __init__(self, session: aiohttp.ClientSession, url: str, namespace: str) -> None:
        self._session = session
        self.url = url
        self.namespace = namespace
        self.ns = f"/api/v1/namespaces/{namespace}"

    def in_group(self, group_version: str) -> str:
        return f"/apis/{group_version}/namespaces/{self.namespace}"

    async def call(
        self, method: str, path: str, body: Any = None, *, content: str = "application/json", **headers: str
    ) -> Reply:
        data = None if body is None else io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        sent = {"Content-Type": content, **{key.replace("_", "-"): value for key, value in headers.items()}}
        async with self._session.request(method, self.url + path, data=data, headers=sent) as response:
            raw = await response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
            return Reply(response.status, json.loads(raw) if is_json else raw, dict(response.headers))

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.call("GET", path, **headers)

    async def post(self, path: str, body: Any, **headers: str) -> Reply:
        return await self.call("POST", path, body, **headers)

    async def put(self, path: str, body: Any) -> Reply:
        return await self.call("PUT", path, body)

    async def delete(self, path: str, body: Any = None) -> Reply:
        return await self.call("DELETE", path, body)

    async def merge(self, path: str, patch: Any) -> Reply:
        return await self.call("PATCH", path, patch, content="application/merge-patch+json")

    async def strategic(self, path: str, patch: Any) -> Reply:
        return await self.call("PATCH", path, patch, content="application/strategic-merge-patch+json")

    async def json_patch(self, path: str, patch: Any) -> Reply:
        return await self.call("PATCH", path, patch, content="application/json-patch+json")

    async def apply(self, path: str, obj: Any, *, manager: str = "tester", force: bool = False) -> Reply:
        query = f"?fieldManager={manager}&force={'true' if force else 'false'}"
        return await self.call("PATCH", path + query, obj, content="application/apply-patch+yaml")

    @asynccontextmanager
    async def watch(self, path: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Events of a watch, each awaited with a deadline."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=10)
        async with self._session.get(self.url + path, timeout=timeout) as response:

            async def events() -> AsyncIterator[dict[str, Any]]:
                async for line in response.content:
                    yield json.loads(line)

            yield events()


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    """A small valid pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "img:1"}], **spec},
    }


def binding(name: str, node: str, **meta: Any) -> dict[str, Any]:
    """A Binding of a pod."""
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name, **meta},
        "target": {"kind": "Node", "name": node},
    }


@pytest.fixture
async def cluster() -> AsyncIterator[MiniCluster]:
    async with MiniCluster() as running:
        yield running


@asynccontextmanager
async def client_session(**options: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """A session whose sockets are closed when it ends; aiohttp itself leaves that to later turns of the loop."""
    async with aiohttp.ClientSession(**options) as session:
        yield session
    await asyncio.sleep(0.005)


@pytest.fixture
async def mini(cluster: MiniCluster) -> AsyncIterator[Api]:
    """A client of the embedded server."""
    async with client_session() as session:
        yield Api(session, cluster.url, "default")


@dataclass
class RealServer:
    url: str
    token: str


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A real etcd and kube-apiserver on loopback."""
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    if not assets:
        pytest.skip("KUBEBUILDER_ASSETS is not set: no real kube-apiserver to compare with")
    folder = tmp_path_factory.mktemp("real")
    server, processes = _start_real(Path(assets), folder)
    try:
        _await_ready(server, processes)
        yield server
    finally:
        for process in processes:  # nothing of it is kept, and a graceful end takes half a minute
            process.kill()
            process.wait(timeout=20)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _start_real(assets: Path, folder: Path) -> tuple[RealServer, list[subprocess.Popen[bytes]]]:
    client_port, peer_port, api_port = _free_ports(3)
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f"{token},admin,admin-uid,system:masters\n")
    subprocess.run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"], check=True, capture_output=True)
    log = (folder / "log").open("wb")
    etcd_url, peer_url = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    commands = [
        [
            assets / "etcd",
            f"--data-dir={folder}/etcd",
            f"--listen-client-urls={etcd_url}",
            f"--advertise-client-urls={etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync",
        ],
        [
            assets / "kube-apiserver",
            f"--etcd-servers={etcd_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={api_port}",
            f"--cert-dir={folder}/certs",
            "--authorization-mode=RBAC",
            f"--token-auth-file={folder}/tokens.csv",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--service-account-issuer=https://127.0.0.1:{api_port}/",
            f"--service-account-key-file={folder}/sa.key",
            f"--service-account-signing-key-file={folder}/sa.key",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
        ],
    ]
    processes = [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
    log.close()
    server = RealServer(f"https://127.0.0.1:{api_port}", token)
    return server, processes


def _await_ready(server: RealServer, processes: list[subprocess.Popen[bytes]]) -> None:
    request = urllib.request.Request(f"{server.url}/readyz", headers={"Authorization": f"Bearer {server.token}"})
    context = ssl._create_unverified_context()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes), "etcd or kube-apiserver ended early"
        try:
            with urllib.request.urlopen(request, context=context, timeout=2) as response:
                if response.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the real kube-apiserver did not become ready")


@pytest.fixture(params=["mini", "real"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """A client of the embedded server, and of the real one: what a test says must hold for both."""
    if request.param == "mini":
        async with MiniCluster() as running, client_session() as session:
            yield await _with_namespace(Api(session, running.url, "default"))
        return
    real: RealServer = request.getfixturevalue("real_server")
    connector = aiohttp.TCPConnector(ssl=False)
    headers = {"Authorization": f"Bearer {real.token}"}
    async with client_session(connector=connector, headers=headers) as session:
        yield await _with_namespace(Api(session, real.url, "default"))


async def _with_namespace(api: Api) -> Api:
    name = f"t-{secrets.token_hex(4)}"
    reply = await api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    assert reply.status == 201, reply.body
    return Api(api._session, api.url, name)
