from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scripted_server import ScriptedServer, Waits, kubeconfig_text

from kai_py.kube.client import ApiClient, connect


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer()
    running = await scripted.start()
    yield scripted
    await running.close()


@pytest.fixture
async def client(server: ScriptedServer, tmp_path: Path) -> AsyncIterator[ApiClient]:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig_text(server.url, {"token": "secret"}))
    async with await connect(str(path)) as client:
        yield client


@pytest.fixture
def waits() -> Waits:
    return Waits()
