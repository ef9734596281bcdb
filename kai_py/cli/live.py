"""The way to a live cluster, for commands that ask it something."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kai_py.cli.failures import MISUSED, Failure
from kai_py.errors import InputError
from kai_py.kube.client import ApiClient, connect


@asynccontextmanager
async def connected(kubeconfig: str | None, context: str | None) -> AsyncIterator[ApiClient]:
    """A session with the cluster that the options or the environment name.

    Raises:
        Failure: none is named, or not in a way that can be understood.
    """
    try:
        client = await connect(kubeconfig, context)
    except InputError as error:
        step = "Name a kubeconfig with --kubeconfig or $KUBECONFIG. Without a cluster, start one: kai-py minicluster"
        raise Failure("no cluster to talk to", [str(fault) for fault in error.faults], step, status=MISUSED) from error
    async with client:
        yield client
