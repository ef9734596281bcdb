"""``kai-py preview``."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from kai_py.cli.beginning import FromSnapshot, beginning
from kai_py.cli.failures import note
from kai_py.cli.options import Context, Kubeconfig, NoHeaders, OutputOption, SettingsConfigMap, named_object, written
from kai_py.cli.output import Output, print_document, print_tables
from kai_py.cli.preview_view import headline, tables
from kai_py.planning.cluster import SETTINGS_AT
from kai_py.planning.documents import read_documents
from kai_py.planning.preview import preview

app = typer.Typer(add_completion=False)

#: Exit status with ``--exit-code``, when anything differs.
DIFFERS: Final = 3


@app.command("preview")
def preview_command(
    filenames: Annotated[
        list[str],
        typer.Option(
            "--filename",
            "-f",
            metavar="PATH",
            help="The change: a settings document, or manifests that are merged into the cluster's objects. A YAML or "
            "JSON file, a folder of them, or - for standard input. May be given often.",
            show_default=False,
        ),
    ],
    from_snapshot: FromSnapshot = None,
    cycles: Annotated[int, typer.Option(min=1, help="Run at most so many cycles; stop after an idle one.")] = 3,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 3 if anything differs.")] = False,
    output: OutputOption = Output.TABLE,
    no_headers: NoHeaders = False,
    settings_configmap: SettingsConfigMap = written(SETTINGS_AT),
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Tell what new settings, queues or any other objects would change, before they do.

    The live cluster, or a snapshot, is planned as it is and with the change. What differs is shown: fair shares, who
    would be evicted, who would start, who would wait and why. Nothing is changed anywhere.

    Exit status: 0 = done, 2 = the change is not valid (all its faults are told). With --exit-code 3 = something
    differs.

    For instance:

    kai-py preview -f new-settings.yaml

    kai-py preview -f queues.yaml --from-snapshot cluster.json.gz -o json
    """
    if from_snapshot and (kubeconfig or context):
        raise typer.BadParameter("--from-snapshot is instead of a live cluster: leave --kubeconfig and --context out")
    changes = list(read_documents(filenames, sys.stdin))
    begin = beginning(from_snapshot, kubeconfig, context, named_object(settings_configmap))
    answer = preview(begin.objects, changes, cycles, begin.time).to_dict()
    if output is not Output.TABLE:
        print_document(answer, output)
    else:
        for warning in answer["warnings"]:
            note(warning, kind="warning")
        print_tables(tables(answer), headers=not no_headers, verdict=headline(answer))
    if exit_code and not answer["same"]:
        raise typer.Exit(DIFFERS)
