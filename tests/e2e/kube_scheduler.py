"""A real kube-scheduler beside a real control plane."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .control_plane import assets, free_ports, running_process
from .harness import Cluster


@contextlib.asynccontextmanager
async def kube_scheduler(cluster: Cluster, folder: Path) -> AsyncIterator[None]:
    """The real one, for the real server."""
    binaries = assets()
    if not cluster.real or binaries is None or not (binaries / "kube-scheduler").exists():
        pytest.skip("there is no kube-scheduler beside a real control plane")
    (port,) = free_ports(1)
    command = [
        str(binaries / "kube-scheduler"), f"--kubeconfig={cluster.kubeconfig}", "--bind-address=127.0.0.1",
        f"--secure-port={port}", f"--cert-dir={folder}", "--leader-elect=false",
    ]  # fmt: skip
    with running_process(command, folder / "kube-scheduler.log"):
        yield
