"""``kai-py queues``."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from kai_py.cli.asking import waiting
from kai_py.cli.failures import note
from kai_py.cli.live import connected
from kai_py.cli.options import Context, Kubeconfig, NoHeaders
from kai_py.cli.output import WideOutput, print_document, print_tables
from kai_py.cli.queue_rows import queue_items, queue_table
from kai_py.cli.queue_watch import follow
from kai_py.kube.client import ApiClient
from kai_py.kube.listing import list_all
from kai_py.operators.kinds import QUEUES

app = typer.Typer(add_completion=False)


@app.command("queues")
def queues_command(
    output: Annotated[
        WideOutput,
        typer.Option("--output", "-o", help="Form of the answer: a table of GPUs, or of all resources; json or yaml."),
    ] = WideOutput.TABLE,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on, and print every queue again whose row changes.")
    ] = False,
    no_headers: NoHeaders = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """List the queues: what they hold, may hold and ask for.

    Numbers are those that the scheduler has reported in the queues' status; a dash is unknown. With json and yaml,
    amounts are in millicores, bytes and devices, and -1 is unlimited. What waits is counted in podgroups, and in pods
    that have no PodGroup object.

    For instance:

    kai-py queues -o wide

    kai-py queues --watch
    """
    asyncio.run(_run(kubeconfig, context, output, watch=watch, headers=not no_headers))


async def _run(kubeconfig: str | None, context: str | None, output: WideOutput, *, watch: bool, headers: bool) -> None:
    async with connected(kubeconfig, context) as client:
        if watch:
            await follow(client, output, headers=headers)
        else:
            _print(await _items(client), output, headers=headers)


async def _items(client: ApiClient) -> list[dict[str, Any]]:
    return queue_items(*await asyncio.gather(list_all(client, QUEUES), waiting(client)))


def _print(items: list[dict[str, Any]], output: WideOutput, *, headers: bool) -> None:
    if output in (WideOutput.JSON, WideOutput.YAML):
        print_document({"apiVersion": "kai-py/v1", "kind": "QueueList", "items": items}, output)
        return
    if not items:
        note("there are no queues; the CRDs and queues are installed with kubectl apply")
    print_tables([queue_table(items, wide=output is WideOutput.WIDE)], headers=headers)
