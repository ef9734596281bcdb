"""``kai-py group``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from kai_py.cli.failures import note
from kai_py.cli.options import NoHeaders, OutputOption, SettingsFile
from kai_py.cli.output import Output, Table, print_document, print_tables
from kai_py.errors import InputError
from kai_py.planning.documents import read_documents
from kai_py.planning.group import groups

app = typer.Typer(add_completion=False)


@app.command("group")
def group_command(
    filenames: Annotated[
        list[str],
        typer.Option(
            "--filename",
            "-f",
            metavar="PATH",
            help="Manifests: a YAML or JSON file, a folder of them, or - for standard input. May be given often.",
        ),
    ],
    settings: SettingsFile = None,
    output: OutputOption = Output.TABLE,
    no_headers: NoHeaders = False,
) -> None:
    """Tell which podgroup pods belong to, by the rules that the scheduler uses.

    Of workloads whose pods are not among the manifests, the pods are asked about that their controller would make.

    For instance:

    kai-py group -f job.yaml

    kubectl get pods,jobs -o json | kai-py group -f - -o yaml
    """
    text = settings.read_text(encoding="utf-8") if settings else None
    answers, faults = groups(read_documents(filenames, sys.stdin), settings=text)
    if output is Output.TABLE:
        for warning in dict.fromkeys(warning for answer in answers for warning in answer["warnings"]):
            note(warning, kind="warning")
        print_tables([_table(answers)], headers=not no_headers)
    else:
        print_document({"apiVersion": "kai-py/v1", "kind": "PodGroups", "pods": answers}, output)
    if faults:
        raise InputError(faults)


def _table(answers: Iterable[dict[str, Any]]) -> Table:
    columns = ("Pod", "PodGroup", "SubGroup", "Minimum", "Queue", "Priority", "Written")
    return Table("Podgroups of pods", columns, [_row(answer) for answer in answers])


def _row(answer: dict[str, Any]) -> tuple[str, ...]:
    podgroup = answer["podGroup"]
    if podgroup is None:
        return answer["pod"], "(left alone)", "", "", "", "", ""
    spec = podgroup["spec"]
    minimum = f"{spec['minMember']} pods" if "minMember" in spec else f"{spec['minSubGroup']} subgroups"
    written = "yes" if answer["written"] else "no"
    return (
        answer["pod"],
        podgroup["metadata"]["name"],
        answer["subGroup"] or "",
        minimum,
        spec["queue"],
        spec["priorityClassName"],
        written,
    )
