"""The way to a live cluster, for commands that ask it something."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kai_py.kube.client import ApiClient, connect
from kai_py.telemetry.logs import configure


@asynccontextmanager
async def connected(kubeconfig: str | None, context: str | None) -> AsyncIterator[ApiClient]:
    """A session with the cluster that the options or the environment name; what happens to it is told on stderr.

    Raises:
        InputError: none is named, or not in a way that can be understood.
    """
    configure("console", "info")
    async with await connect(kubeconfig, context) as client:
        yield client
