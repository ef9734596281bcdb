"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from kai_py.cli.output import Output

OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="Form of the answer: a table for people, json or yaml for programs.")
]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="Print the rows of tables alone, for other programs.")]
Kubeconfig = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The kubeconfig; by default $KUBECONFIG or ~/.kube/config.", show_default=False),
]
Context = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The context in the kubeconfig; by default its current one.", show_default=False),
]
