"""``kai-py top``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kai_py.cli.beginning import FromSnapshot, beginning
from kai_py.cli.failures import note
from kai_py.cli.options import Context, Kubeconfig, NoHeaders, OutputOption
from kai_py.cli.output import Output, Table, print_document, print_tables
from kai_py.cli.plan_view import in_words
from kai_py.core.resources import CPU, GPU, MEMORY
from kai_py.planning.top import top

Json = dict[str, Any]

app = typer.Typer(add_completion=False)

_HOLDS = ("GPUs", "CPU", "Memory")


@app.command("top")
def top_command(
    limit: Annotated[int, typer.Option(min=1, help="At most so many podgroups.")] = 20,
    nodes: Annotated[bool, typer.Option("--nodes", help="Show the nodes instead.")] = False,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", "-n", metavar="NAME", help="Only podgroups of this namespace.", show_default="all namespaces"
        ),
    ] = None,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Podgroups of all namespaces, as without -n.")
    ] = False,
    from_snapshot: FromSnapshot = None,
    output: OutputOption = Output.TABLE,
    no_headers: NoHeaders = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show who holds most of the cluster, and what is taken of each node.

    Amounts are what queues are charged for, devices of claims and parts of GPUs included; pods that are leaving count
    until they are gone. JSON and YAML have all podgroups and nodes.

    For instance:

    kai-py top --limit 5

    kai-py top -n team-a

    kai-py top --nodes
    """
    if from_snapshot and (kubeconfig or context):
        raise typer.BadParameter("--from-snapshot is instead of a live cluster: leave --kubeconfig and --context out")
    begin = beginning(from_snapshot, kubeconfig, context)
    answer = top(begin.objects, begin.time)
    if namespace and not all_namespaces:
        answer["podGroups"] = [one for one in answer["podGroups"] if one["podGroup"].startswith(f"{namespace}/")]
    if output is not Output.TABLE:
        print_document(answer, output)
        return
    for warning in answer["warnings"]:
        note(warning, kind="warning")
    print_tables([_nodes(answer) if nodes else _podgroups(answer, limit)], headers=not no_headers)


def _podgroups(answer: Json, limit: int) -> Table:
    rows = [
        (
            one["podGroup"],
            one["queue"],
            str(one["pods"]),
            str(one["nodes"]),
            *_amounts(one["holds"]),
            one["since"] or "",
        )
        for one in answer["podGroups"][:limit]
    ]
    return Table("Podgroups", ("PodGroup", "Queue", "Pods", "Nodes", *_HOLDS, "Since"), rows)


def _nodes(answer: Json) -> Table:
    rows = [(one["node"], str(one["pods"]), *_amounts(one["holds"])) for one in answer["nodes"]]
    return Table("Nodes", ("Node", "Pods", *_HOLDS), rows)


def _amounts(holds: Json) -> list[str]:
    return [in_words(name, holds[name]) for name in (GPU, CPU, MEMORY)]
