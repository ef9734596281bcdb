"""``kai-py fairshare``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from kai_py.cli.failures import note
from kai_py.cli.options import NoHeaders, OutputOption
from kai_py.cli.output import Output, Table, print_document, print_tables
from kai_py.cli.plan_view import in_words
from kai_py.errors import Fault, InputError
from kai_py.planning.documents import read_documents
from kai_py.planning.fairshare import Json, fair_share
from kai_py.planning.manifests import Sourced, Unreadable

app = typer.Typer(add_completion=False)


@app.command("fairshare")
def fairshare_command(
    filename: Annotated[
        str,
        typer.Option(
            "--filename",
            "-f",
            metavar="FILE",
            help="The question, YAML or JSON: total, kValue and queues; - for standard input.",
        ),
    ],
    output: OutputOption = Output.TABLE,
    no_headers: NoHeaders = False,
) -> None:
    """Divide capacity among queues, by the code that every cycle uses.

    The document names what there is in all (cpu in millicores, memory in bytes, gpu in devices) and the queues:

    total: {gpu: 8}

    queues: [{name: research, resources: {gpu: {quota: 4, overQuotaWeight: 1}}, requested: {gpu: 6}}]

    Quota and limit of memory are in MB, as in a Queue. A resource that a queue does not name has quota 0, no limit,
    weight 0 and request 0.

    For instance:

    kai-py fairshare -f shares.yaml

    kai-py fairshare -f shares.yaml -o json
    """
    question = _question(filename)
    try:
        answer = fair_share(question.manifest)
    except InputError as error:
        raise InputError([question.place(fault) for fault in error.faults]) from error
    if output is not Output.TABLE:
        print_document(answer, output)
        return
    for warning in answer["warnings"]:
        note(warning, kind="warning")
    print_tables([_table(answer)], headers=not no_headers)


def _question(filename: str) -> Sourced:
    documents = list(read_documents([filename], sys.stdin))
    if len(documents) != 1:
        raise InputError([Fault(filename, "", f"should hold one document, not {len(documents)}")])
    if isinstance(documents[0].manifest, Unreadable):
        raise InputError([Fault(documents[0].source, "", documents[0].manifest.message)])
    return documents[0]


def _table(answer: Json) -> Table:
    queues = answer["queues"]
    resources = sorted({resource for shares in queues.values() for resource in shares})
    rows = [
        [name, *(in_words(resource, shares[resource]["fairShare"]) for resource in resources)]
        for name, shares in queues.items()
    ]
    return Table("Fair shares", ("Queue", *resources), rows)
