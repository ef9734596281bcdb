"""The program: global options, and the table of commands."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated, Final

import typer

from kai_py.cli.failures import DEBUG_VARIABLE, bug
from kai_py.cli.lazy import LazyGroup

PROGRAM: Final = "kai-py"

#: Every command, its module and the first line of its help. Modules have a ``typer.Typer`` called ``app``.
COMMANDS: Final = {
    "plan": ("kai_py.cli.plan", "Tell what the scheduler would do with a cluster, from manifests alone."),
    "preview": (
        "kai_py.cli.preview",
        "Tell what new settings, queues or any other objects would change, before they do.",
    ),
    "snapshot": ("kai_py.cli.snapshot", "Write everything that decisions about the live cluster depend on to a file."),
    "replay": ("kai_py.cli.replay", "Replay recorded workloads."),
    "fairshare": ("kai_py.cli.fairshare", "Divide capacity among queues, by the code that every cycle uses."),
    "group": ("kai_py.cli.group", "Tell which podgroup pods belong to, by the rules that the scheduler uses."),
    "why": ("kai_py.cli.why", "Tell why a pod or podgroup waits, or how a queue stands."),
    "devices": ("kai_py.cli.devices", "List the devices: what is free, who has what, what is tainted or in pieces."),
    "top": ("kai_py.cli.top", "Show who holds most of the cluster, and what is taken of each node."),
    "queues": ("kai_py.cli.queues", "List the queues: what they hold, may hold and ask for."),
    "drift": ("kai_py.cli.drift", "Compare queues, topologies and settings with the files that they should be as."),
    "log": ("kai_py.cli.log", "Show the scheduler's last decisions with their reasons."),
    "run": ("kai_py.cli.run", "Schedule pods of a cluster, until stopped."),
    "webhooks": (
        "kai_py.cli.webhooks",
        "Check queues, podgroups, pods and settings before they are let in, and prepare pods that share GPUs.",
    ),
    "minicluster": ("kai_py.cli.minicluster", "Start a cluster in this process: an API server and fake nodes."),
    "demo": ("kai_py.cli.demo.command", "Watch four teams share a GPU cluster for a minute."),
    "conformance": (
        "kai_py.cli.conformance.command",
        "Show what Kubernetes AI Conformance asks of a scheduler.",
    ),
    "bench": ("kai_py.cli.bench.command", "Measure decisions, and pods per second."),
    "crds": (
        "kai_py.cli.crds",
        "Print the CustomResourceDefinitions of this version, or bring those of a cluster up to date.",
    ),
    "generate": (
        "kai_py.cli.generate",
        "Write the generated files of a source checkout: CRDs, reference pages, and parts of the Helm chart.",
    ),
    "version": ("kai_py.cli.version", "Print the version."),
}


class Commands(LazyGroup):
    """The commands of the program."""

    table = COMMANDS


app = typer.Typer(
    name=PROGRAM,
    cls=Commands,
    help="A Kubernetes scheduler for AI clusters: fair queues, whole gangs, explained decisions.",
    epilog="Exit status: 0 = done, 1 = it could not be done or found, 2 = the command or its input is wrong, "
    "3 = drift.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {version('kai-py')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Entry point of ``kai-py``."""
    run_program(app, PROGRAM)


def run_program(program: typer.Typer, name: str) -> None:
    """Run a command line to the end of the process."""
    try:
        program(prog_name=name)
    except Exception as error:  # the edge of the program: an error that nobody has foreseen
        if os.environ.get(DEBUG_VARIABLE):
            raise
        failure = bug(error)
        failure.report()
        sys.exit(failure.status)
