"""``kai-py demo``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from kai_py.cli.demo.stage import Demo, play
from kai_py.cli.failures import FAILED
from kai_py.telemetry.logs import configure

app = typer.Typer(add_completion=False)


@app.command("demo")
def demo(
    tty: Annotated[
        bool | None,
        typer.Option(
            "--tty/--no-tty",
            help="Draw, or print plain lines; by default what standard output can show.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=5.0, max=3600.0, help="How long the story takes.")] = 60.0,
    nodes: Annotated[
        int, typer.Option(min=12, max=500, help="How many fake nodes; two more have devices to be claimed.")
    ] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Moves the steps of the story a little; 0 = not at all.")] = 0,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write the scheduler's log there.", show_default=False),
    ] = None,
) -> None:
    """Watch four teams share a GPU cluster for a minute.

    It starts a cluster in this process and the scheduler on it, and plays a story: gangs, a burst over quota, a queue
    at its limit, a gang that waits for room, a team that claims devices and parts of them, a pod that cannot start and
    is told why. A referee reads along from the API server; exit status 0 means that all invariants held and everything
    came as it should.

    For instance:

    kai-py demo --seconds 30 --nodes 40
    """  # fmt: skip
    stream = log.open("w", encoding="utf-8") if log is not None else None
    configure("console", "info" if log is not None else "error", stream=stream)
    live = sys.stdout.isatty() if tty is None else tty
    verdict = uvloop.run(play(Demo(seconds=seconds, nodes=nodes, seed=seed, live=live)))
    if stream is not None:
        stream.close()
    if not verdict.good:
        raise typer.Exit(FAILED)
