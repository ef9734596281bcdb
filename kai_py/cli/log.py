"""``kai-py log``."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode, urlsplit

import typer

from kai_py.cli.failures import Failure, note
from kai_py.cli.options import NoHeaders, OutputOption
from kai_py.cli.output import Output, Table, print_document, print_tables
from kai_py.telemetry.decision_log import rows

Json = dict[str, Any]

app = typer.Typer(add_completion=False)

_ADDRESS: Final = "http://127.0.0.1:8082"
_COLUMNS: Final = ("Time", "Decision", "Who", "Node", "Action", "For", "Outcome", "Why")
_STYLES: Final = {"bind": "green", "nominate": "yellow", "evict": "red"}
_PATIENCE: Final = 10.0
_TURN: Final = 1.0


@app.command("log")
def log_command(
    pod: Annotated[str, typer.Option(metavar="NAMESPACE/NAME", help="Only about this pod.", show_default=False)] = "",
    podgroup: Annotated[
        str, typer.Option(metavar="NAMESPACE/NAME", help="Only about this podgroup, or for it.", show_default=False)
    ] = "",
    queue: Annotated[str, typer.Option(metavar="NAME", help="Only of this queue.", show_default=False)] = "",
    node: Annotated[str, typer.Option(metavar="NAME", help="Only on this node.", show_default=False)] = "",
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="Only bind, nominate, evict or wait.", show_default=False)
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the last ones.")] = 50,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, and print what is decided next.")] = False,
    address: Annotated[
        str, typer.Option(metavar="URL", help="Where the scheduler serves its decisions; HOST:PORT is http.")
    ] = _ADDRESS,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A bearer token, where one is asked for.", show_default=False),
    ] = None,
    output: OutputOption = Output.TABLE,
    no_headers: NoHeaders = False,
) -> None:
    """Show the scheduler's last decisions with their reasons.

    The scheduler that leads keeps them in memory, and serves them to its own machine: forward its port first.

    For instance:

    kubectl port-forward -n kai-scheduler deployment/kai-py 8082

    kai-py log --podgroup team-a/train -o json
    """
    wanted = {"pod": pod, "podgroup": podgroup, "queue": queue, "node": node, "kind": kind}
    token = token_file.read_text(encoding="utf-8").strip() if token_file else ""
    answer = _ask(address, {**{key: value for key, value in wanted.items() if value}, "limit": str(limit)}, token)
    if not answer["leader"]:
        note("this scheduler does not lead: another one decides")
    _print(answer, output, headers=not no_headers)
    while watch:
        time.sleep(_TURN)
        since = {"since": str(answer["last"]), "limit": "10000"}
        answer = _ask(address, {**{key: value for key, value in wanted.items() if value}, **since}, token)
        _print(answer, output, headers=False)


def _print(answer: Json, output: Output, *, headers: bool) -> None:
    if output is not Output.TABLE:
        print_document(answer, output)
    else:
        print_tables([Table("Decisions", _COLUMNS, list(rows(answer["items"])), _STYLES)], headers=headers)


def _ask(address: str, query: dict[str, str], token: str) -> Json:
    if "://" not in address:
        address = f"http://{address}"  # as `kai-py run --decisions-address` is given it
    if urlsplit(address).scheme not in ("http", "https"):
        raise typer.BadParameter(f"--address {address!r} should begin with http:// or https://")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{address.rstrip('/')}/decisions?{urlencode(query)}", headers=headers)  # noqa: S310  # checked above
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as response:  # noqa: S310  # the same
            answer: Json = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        message = _message(error)
        raise Failure(f"the scheduler refused ({error.code})", [message] if message else []) from error
    except (OSError, ValueError) as error:
        step = "Forward its port: kubectl port-forward -n kai-scheduler deployment/kai-py 8082"
        raise Failure(f"no decisions are served at {address}", [str(error)], step) from error


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["message"])
    except (ValueError, LookupError, TypeError, OSError):
        return ""
