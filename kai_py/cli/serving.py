"""What commands have in common that serve until they are stopped: their logs, their probes, and ports in use."""

from __future__ import annotations

import errno
from collections.abc import Coroutine, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer
import uvloop

from kai_py.cli.failures import Failure


class LogFormat(StrEnum):
    """Forms of log lines."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """Lowest level that is shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LogFormatOption = Annotated[LogFormat, typer.Option(help="Log lines for people, or one JSON object per line.")]
LogLevelOption = Annotated[LogLevel, typer.Option(help="The lowest level that is logged.")]
ProbesPort = Annotated[int, typer.Option(min=0, max=65535, help="Serve the liveness probe at /healthz; 0 = do not.")]


def serve(server: Coroutine[Any, Any, None], ports: Mapping[str, object], step: str) -> None:
    """Run a server until it is stopped.

    Args:
        server: what to run.
        ports: those that it listens on, by what they are for.
        step: what to do where one of them is in use.

    Raises:
        Failure: one of them is.
    """
    try:
        uvloop.run(server)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        taken = ", ".join(f"{name}: {port}" for name, port in ports.items())
        raise Failure("a port is in use already", [taken], step) from error
