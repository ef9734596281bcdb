"""``kai-py why``."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from kai_py.cli.asking import KINDS, why
from kai_py.cli.failures import Failure
from kai_py.cli.live import connected
from kai_py.cli.options import Context, Kubeconfig, OutputOption
from kai_py.cli.output import Output, print_document
from kai_py.kube.access import current_namespace
from kai_py.telemetry.printable import printable
from kai_py.telemetry.why import Why

app = typer.Typer(add_completion=False)

_NEXT: Final = "Look for it: kubectl get pods,podgroups -A; kai-py queues. Name its namespace with -n."


@app.command("why")
def why_command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="POD|PODGROUP|QUEUE",
            help="A name; pod/NAME, podgroup/NAME or queue/NAME says which is meant. A bare name is tried as a pod, "
            "then as a podgroup, then as a queue.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="The name, where the first word is a kind, as in kubectl get pod NAME.",
            show_default=False,
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            metavar="NAME",
            help="Namespace of the pod or podgroup; by default that of the kubeconfig's context.",
            show_default=False,
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Tell why a pod or podgroup waits, or how a queue stands.

    The verdict comes first, then the evidence, then what to do. Exit status 1 means that there is no such thing.

    For instance:

    kai-py why train-0 -n team-a

    kai-py why pod train-0

    kai-py why queue/team-a
    """
    kind, name = _target(target if name is None else f"{target}/{name}")
    namespace = namespace or current_namespace(kubeconfig, context)
    answer = asyncio.run(_ask(kubeconfig, context, kind, namespace, name))
    if answer is None:
        what = kind or "pod, podgroup or queue"
        where = "" if kind == "queue" else f" in namespace {namespace}"
        raise Failure(f"there is no {what} {name!r}{where}", next_step=_NEXT)
    if output is not Output.TABLE:
        print_document({"apiVersion": "kai-py/v1", "kind": "Why", **answer.to_dict()}, output)
    else:
        _print(answer)


def _target(target: str) -> tuple[str, str]:
    """Kind (empty if it is not said) and name."""
    kind, slash, name = target.rpartition("/")
    if slash and kind not in KINDS:
        raise typer.BadParameter(f"{target!r} should be a name, pod/NAME, podgroup/NAME or queue/NAME")
    if not name:
        raise typer.BadParameter("the name is empty")
    return KINDS.get(kind, ""), name


async def _ask(kubeconfig: str | None, context: str | None, kind: str, namespace: str, name: str) -> Why | None:
    async with connected(kubeconfig, context) as client:
        return await why(client, kind, namespace, name)


def _print(answer: Why) -> None:
    console = Console(highlight=False, soft_wrap=True)
    verdict, *evidence = map(printable, answer.lines())
    console.print(Text(verdict, style="bold"))
    for line in evidence:
        console.print(Text(line, style="" if line.startswith("  ") else "green"))
