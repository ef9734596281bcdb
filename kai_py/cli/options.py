"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kai_py.cli.output import Output

OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="Form of the answer: a table for people, json or yaml for programs.")
]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="Print the rows of tables alone, for other programs.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Settings from this file, read once, instead of from the ConfigMap kai-py-settings.",
        show_default=False,
    ),
]
Kubeconfig = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The kubeconfig; by default $KUBECONFIG or ~/.kube/config.", show_default=False),
]
Context = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The context in the kubeconfig; by default its current one.", show_default=False),
]


def named_object(text: str) -> tuple[str, str]:
    """``NAMESPACE/NAME``."""
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise typer.BadParameter(f"{text!r} should be NAMESPACE/NAME")
    return namespace, name


def written(place: tuple[str, str]) -> str:
    """The same as it is given on the command line."""
    return "/".join(place)


SettingsConfigMap = Annotated[
    str, typer.Option(metavar="NAMESPACE/NAME", help="The ConfigMap with the settings in force.")
]
