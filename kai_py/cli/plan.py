"""``kai-py plan``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from kai_py.cli.beginning import FromSnapshot, beginning
from kai_py.cli.failures import note
from kai_py.cli.options import Context, Kubeconfig, NoHeaders, OutputOption, SettingsFile
from kai_py.cli.output import Output, print_document, print_tables
from kai_py.cli.plan_view import headline, tables
from kai_py.planning.documents import read_documents
from kai_py.planning.edits import with_edits
from kai_py.planning.manifests import Sourced
from kai_py.planning.plan import plan

app = typer.Typer(add_completion=False)


@app.command("plan")
def plan_command(
    filenames: Annotated[
        list[str] | None,
        typer.Option(
            "--filename",
            "-f",
            metavar="PATH",
            help="Manifests: a YAML or JSON file, a folder of them, or - for standard input. May be given often.",
            show_default=False,
        ),
    ] = None,
    from_cluster: Annotated[
        bool,
        typer.Option(
            "--from-cluster", help="Begin with the live cluster; manifests from -f are merged into its objects."
        ),
    ] = False,
    from_snapshot: FromSnapshot = None,
    cycles: Annotated[int, typer.Option(min=1, help="Run at most so many cycles; stop after an idle one.")] = 1,
    cycle_seconds: Annotated[float, typer.Option(min=0, help="Time between cycles, in seconds.")] = 1.0,
    settings: SettingsFile = None,
    now: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="The time, as in 2026-01-31T12:00:00Z; by default now, or the snapshot's.",
            show_default=False,
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    no_headers: NoHeaders = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Tell what the scheduler would do with a cluster, from manifests alone.

    The code that runs in production decides; nothing is changed anywhere. After each cycle its decisions are carried
    out as a cluster would.

    For instance:

    kai-py plan -f cluster.yaml

    kai-py plan --from-cluster -f more-quota.yaml --cycles 5

    kai-py plan --from-snapshot cluster.json.gz

    kubectl get nodes,pods,queues,podgroups -A -o json | kai-py plan -f -
    """
    if not (filenames or from_cluster or from_snapshot):
        raise typer.BadParameter("give manifests with -f, --from-cluster or --from-snapshot")
    if from_cluster and from_snapshot:
        raise typer.BadParameter("--from-cluster and --from-snapshot are two clusters: give one")
    if (kubeconfig or context) and not from_cluster:
        raise typer.BadParameter("--kubeconfig and --context need --from-cluster")
    objects: Iterable[Sourced] = read_documents(filenames or (), sys.stdin)
    if from_cluster or from_snapshot:
        begin = beginning(from_snapshot, kubeconfig, context)
        objects, now = with_edits(begin.objects, objects), now or begin.time
    document = Sourced(settings.read_text(encoding="utf-8"), str(settings)) if settings else None
    answer = plan(objects, cycles, document, now, cycle_seconds=cycle_seconds).to_dict()
    if output is not Output.TABLE:
        print_document(answer, output)
        return
    for warning in answer["warnings"]:
        note(warning, kind="warning")
    print_tables(tables(answer), headers=not no_headers, verdict=headline(answer))
