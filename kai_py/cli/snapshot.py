"""``kai-py snapshot``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from kai_py.cli.beginning import taken
from kai_py.cli.failures import Failure, note
from kai_py.cli.options import Context, Kubeconfig
from kai_py.planning.snapshot import write_snapshot

app = typer.Typer(add_completion=False)


@app.command("snapshot")
def snapshot_command(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="Where to write it.")
    ] = Path("cluster.json.gz"),
    redact: Annotated[
        bool, typer.Option("--redact", help="Replace names, labels and texts; decisions stay the same.")
    ] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Write everything that decisions about the live cluster depend on to a file.

    What containers run (images, commands, environments) is never in it. `kai-py plan --from-snapshot` replays it to the
    same decisions, `kai-py preview --from-snapshot` tells what other settings would do with it.

    For instance:

    kai-py snapshot --redact -o bug.json.gz
    """
    found = taken(kubeconfig, context, redact=redact)
    content = write_snapshot(found)
    try:
        with open(output, "wb", opener=_for_me_alone) as file:  # a Path cannot set the mode
            file.write(content)
    except OSError as error:
        step = "Choose another file with -o."
        raise Failure("the snapshot cannot be written", [f"{output}: {error.strerror or error}"], step) from error
    how = "names replaced" if found.redacted else "with all names: --redact replaces them"
    note(f"{len(found.objects)} objects in {len(content)} bytes, {how}")
    print(output)


def _for_me_alone(path: str, flags: int) -> int:
    """Open a new file that nobody else may read: it tells much about a cluster."""
    return os.open(path, flags, 0o600)
