"""A real control plane for tests: etcd and kube-apiserver out of the folder that KUBEBUILDER_ASSETS names.

The convention is Kubernetes' own envtest. There is no controller manager and no kubelet: pods that are bound stay
Pending, nothing is garbage collected.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import yaml

_PATIENCE = 60.0


def assets() -> Path | None:
    """The folder with etcd and kube-apiserver; None if there is none."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder or not all((Path(folder) / name).exists() for name in ("etcd", "kube-apiserver")):
        return None
    return Path(folder)


@contextlib.contextmanager
def control_plane(binaries: Path, folder: Path, *flags: str) -> Iterator[Path]:
    """Start both on free ports of the loopback interface; yields the path of an administrator's kubeconfig.

    ``flags`` are more options of the API server.
    """
    client_port, peer_port, api_port = free_ports(3)
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f"{token},admin,admin-uid,system:masters\n", encoding="utf-8")
    subprocess.run(["openssl", "genrsa", "-out", str(folder / "sa.key"), "2048"], check=True, capture_output=True)
    peer, client = f"http://127.0.0.1:{peer_port}", f"http://127.0.0.1:{client_port}"
    etcd = [
        str(binaries / "etcd"), "--name=default", f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync",
        "--log-level=error", f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
    ]  # fmt: skip
    server = [
        str(binaries / "kube-apiserver"), f"--etcd-servers={client}", "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1", f"--secure-port={api_port}", f"--cert-dir={folder / 'certificates'}",
        "--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC", "--endpoint-reconciler-type=none",
        f"--token-auth-file={folder / 'tokens.csv'}", f"--service-account-issuer=https://127.0.0.1:{api_port}/",
        f"--service-account-key-file={folder / 'sa.key'}", f"--service-account-signing-key-file={folder / 'sa.key'}",
        # Without a controller manager there are no default service accounts.
        "--disable-admission-plugins=ServiceAccount", *flags,
    ]  # fmt: skip
    with running_process(etcd, folder / "etcd.log"), running_process(server, folder / "apiserver.log") as process:
        url = f"https://127.0.0.1:{api_port}"
        _wait(url, token, process, folder / "apiserver.log")
        yield _kubeconfig(folder, url, token)


@contextlib.contextmanager
def running_process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(url: str, token: str, process: subprocess.Popen[bytes], log: Path) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    request = urllib.request.Request(f"{url}/readyz", headers={"Authorization": f"Bearer {token}"})
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError):
            if urllib.request.urlopen(request, context=trusting, timeout=2).read() == b"ok":
                return
        time.sleep(0.2)
    raise RuntimeError(f"kube-apiserver did not become ready:\n{log.read_text(encoding='utf-8')[-2000:]}")


def _kubeconfig(folder: Path, url: str, token: str) -> Path:
    cluster = {"server": url, "certificate-authority": str(folder / "certificates" / "apiserver.crt")}
    path = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin", "namespace": "default"}}],
        "current-context": "test",
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
