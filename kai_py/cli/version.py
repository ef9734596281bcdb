"""``kai-py version``."""

from __future__ import annotations

import platform
from importlib.metadata import version

import typer

app = typer.Typer(add_completion=False)


@app.command("version")
def print_version() -> None:
    """Print the version."""
    print(f"kai-py {version('kai-py')} (Python {platform.python_version()}, {platform.system()} {platform.machine()})")
