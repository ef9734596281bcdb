"""The cluster that a question begins with: a live one, or one in a file."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from kai_py.cli.failures import note
from kai_py.cli.live import connected
from kai_py.errors import ApiError
from kai_py.kube.client import ApiClient
from kai_py.planning.cluster import SETTINGS_AT, read_cluster
from kai_py.planning.manifests import Sourced
from kai_py.planning.snapshot import ClusterSnapshot, read_snapshot, snapshot_of

FromSnapshot = Annotated[
    Path | None,
    typer.Option(
        "--from-snapshot",
        metavar="FILE",
        help="Begin with a file of kai-py snapshot, at its time; manifests from -f are merged into its objects.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Beginning:
    """Objects, and the moment at which they were so (RFC 3339)."""

    objects: list[Sourced]
    time: str


def beginning(
    snapshot: Path | None,
    kubeconfig: str | None,
    context: str | None,
    settings_at: tuple[str, str] = SETTINGS_AT,
) -> Beginning:
    """Read a snapshot, or without one the live cluster; what is missing is told on standard error.

    Raises:
        InputError: the file is no snapshot, or no cluster is named.
        ApiError: the server does not answer, or refuses.
    """
    if snapshot is None:
        moment = datetime.fromtimestamp(time.time(), UTC).isoformat()
        return Beginning(asyncio.run(_live(kubeconfig, context, settings_at)), moment)
    read = read_snapshot(snapshot)
    for warning in read.warnings:
        note(warning, kind="warning")
    return Beginning(read.sourced(str(snapshot)), read.time)


async def _live(kubeconfig: str | None, context: str | None, settings_at: tuple[str, str]) -> list[Sourced]:
    async with connected(kubeconfig, context) as client:
        return await read_cluster(client, lambda warning: note(warning, kind="warning"), settings_at)


def taken(kubeconfig: str | None, context: str | None, *, redact: bool) -> ClusterSnapshot:
    """A snapshot of the live cluster.

    Raises:
        ApiError: the server does not answer, or refuses.
    """
    return asyncio.run(_taken(kubeconfig, context, redact=redact))


async def _taken(kubeconfig: str | None, context: str | None, *, redact: bool) -> ClusterSnapshot:
    warnings: list[str] = []
    async with connected(kubeconfig, context) as client:
        server, now = await _version(client), time.time()
        objects = await read_cluster(client, warnings.append)
    for warning in warnings:
        note(warning, kind="warning")
    return snapshot_of(objects, now, server=server, warnings=warnings, redact=redact)


async def _version(client: ApiClient) -> str:
    try:
        return str(msgspec.json.decode(await client.get("/version"))["gitVersion"])
    except (ApiError, LookupError, TypeError, ValueError):
        return ""  # good to know, and no more
