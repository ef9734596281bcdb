"""``kai-py group``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated, Any, Final

import typer

from kai_py.cli.beginning import beginning
from kai_py.cli.failures import MISUSED, Failure, note
from kai_py.cli.options import Context, Kubeconfig, NoHeaders, OutputOption, SettingsFile
from kai_py.cli.output import Output, Table, print_document, print_tables
from kai_py.errors import InputError
from kai_py.planning.documents import read_documents
from kai_py.planning.group import groups
from kai_py.planning.manifests import Sourced

app = typer.Typer(add_completion=False)

_NOBODY: Final = "There are no pods to ask about."
_MORE: Final = "Give their owners with -f, too, or ask the cluster, where they are: kai-py group --from-cluster"


@app.command("group")
def group_command(
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
        bool, typer.Option("--from-cluster", help="Ask about the pods of the live cluster that name our scheduler.")
    ] = False,
    settings: SettingsFile = None,
    output: OutputOption = Output.TABLE,
    no_headers: NoHeaders = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Tell which podgroup pods belong to, by the rules that the scheduler uses.

    Of workloads whose pods are not among the manifests, the pods are asked about that their controller would make.

    For instance:

    kai-py group -f job.yaml

    kai-py group --from-cluster

    kubectl get pods,jobs -o json | kai-py group -f - -o yaml
    """
    if bool(filenames) == from_cluster:
        raise typer.BadParameter("give manifests with -f, or --from-cluster")
    if (kubeconfig or context) and not from_cluster:
        raise typer.BadParameter("--kubeconfig and --context need --from-cluster")
    text = settings.read_text(encoding="utf-8") if settings else None
    objects: Iterable[Sourced] = read_documents(filenames or (), sys.stdin)
    if from_cluster:
        objects = beginning(None, kubeconfig, context).objects
    answers, faults, unknown = groups(objects, settings=text, live=from_cluster)
    if output is Output.TABLE:
        for warning in dict.fromkeys(warning for answer in answers for warning in answer["warnings"]):
            note(warning, kind="warning")
        print_tables([_table(answers)], headers=not no_headers, verdict="" if answers or faults else _NOBODY)
    else:
        print_document({"apiVersion": "kai-py/v1", "kind": "PodGroups", "pods": answers}, output)
    if unknown and not from_cluster:
        raise Failure("not everybody's owners are given", list(map(str, faults)), _MORE, status=MISUSED)
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
