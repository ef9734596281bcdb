"""``kai-py drift``."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
import typer

from kai_py.cli.failures import note
from kai_py.cli.live import connected
from kai_py.cli.options import Context, Kubeconfig, NoHeaders, OutputOption, SettingsConfigMap, named_object, written
from kai_py.cli.output import Output, Table, print_document, print_tables
from kai_py.cli.plan_view import counted
from kai_py.errors import ApiError, NotFoundError, UnavailableError
from kai_py.kube.client import ApiClient, open_fence
from kai_py.kube.listing import list_all
from kai_py.kube.resource import ResourceKind
from kai_py.kube.writer import Writer
from kai_py.operators.kinds import CONFIG_MAPS, QUEUES, TOPOLOGIES
from kai_py.operators.settings import KEY
from kai_py.planning.cluster import SETTINGS_AT
from kai_py.planning.documents import read_documents
from kai_py.planning.drift import Difference, Wanted, differences, read_wanted

app = typer.Typer(add_completion=False)

#: The exit status when something differs.
DRIFT: Final = 3

#: Kind and name.
_Target = tuple[str, str]
_KINDS: Final[dict[str, ResourceKind[Any]]] = {"Queue": QUEUES, "Topology": TOPOLOGIES}
#: Characters of a value in a table.
_CELL: Final = 60
#: Of these, so many that both values have.
_BEFORE: Final = 20
_STYLES: Final = {"missing": "red", "extra": "yellow", "differs": "yellow"}


@app.command("drift")
def drift(
    filenames: Annotated[
        list[str],
        typer.Option(
            "--filename",
            "-f",
            metavar="PATH",
            help="Values of the Helm chart, such as a blueprint, or manifests: a file, a folder, or - for standard "
            "input. May be given often.",
            show_default=False,
        ),
    ],
    fix: Annotated[
        bool, typer.Option("--fix", help="Make the cluster as the files say. What is extra stays, but with --prune.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="With --fix: delete queues and topologies that are extra.")
    ] = False,
    settings_configmap: SettingsConfigMap = written(SETTINGS_AT),
    output: OutputOption = Output.TABLE,
    no_headers: NoHeaders = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Compare queues, topologies and settings with the files that they should be as.

    What means the same does not differ, however it is written: a field that is absent has its default. Kinds that no
    file speaks of are not compared. The exit status is 3 when something differs and was not fixed. What the API server
    does not allow to be fixed is told, and the rest is fixed.

    For instance:

    kai-py drift -f helm/blueprints/training/values.yaml

    kai-py drift -f queues.yaml --fix
    """
    place = named_object(settings_configmap)
    if prune and not fix:
        raise typer.BadParameter("--prune needs --fix")
    wanted = read_wanted(read_documents(filenames, sys.stdin))
    found, fixed, refused = asyncio.run(_run(wanted, place, kubeconfig, context, fix=fix, prune=prune))
    _print(wanted, found, fixed, output, headers=not no_headers)
    for what, error in refused.items():
        note(f"{' '.join(filter(None, what))} stays as it is: {error}", kind="error")
    if len(fixed) < len(found):
        raise typer.Exit(DRIFT)


async def _run(
    wanted: Wanted, place: tuple[str, str], kubeconfig: str | None, context: str | None, *, fix: bool, prune: bool
) -> tuple[list[Difference], list[Difference], dict[_Target, ApiError]]:
    """What differs, what of it was fixed, and what the server does not allow to be fixed."""
    async with connected(kubeconfig, context) as client:
        live = {kind: await list_all(client, _KINDS[kind]) for kind in wanted.specs}
        settings = await _document(client, place) if wanted.settings is not None else None
        found = list(differences(wanted, live, settings))
        wished = [one for one in found if fix and (one.change != "extra" or prune)]
        refused: dict[_Target, ApiError] = {}
        for target in dict.fromkeys((one.kind, one.name) for one in wished):
            try:
                if target[0] in _KINDS:
                    await _fix_object(client, wanted, *target)
                else:
                    await _fix_settings(client, place, wanted.document())
            except UnavailableError:
                raise
            except ApiError as error:  # it must not keep the others from being fixed
                refused[target] = error
        return found, [one for one in wished if (one.kind, one.name) not in refused], refused


async def _document(client: ApiClient, place: tuple[str, str]) -> str | None:
    try:
        found = await client.get_object(CONFIG_MAPS.path(*place))
    except NotFoundError:
        return None
    return str((found.get("data") or {}).get(KEY, ""))


async def _fix_object(client: ApiClient, wanted: Wanted, kind: str, name: str) -> None:
    """Create, replace or delete; a spec is replaced as a whole, so that nothing of the old one stays."""
    resource, writer = _KINDS[kind], Writer(client, open_fence)
    path = resource.path("", name)
    if name not in wanted.specs[kind]:
        await client.delete(path)
        return
    manifest = wanted.manifest(kind, name)
    try:
        live = await client.get_object(path)
    except NotFoundError:
        await writer.create(resource, manifest)
        return
    await writer.replace(resource, {**live, "spec": manifest["spec"]})


async def _fix_settings(client: ApiClient, place: tuple[str, str], text: str) -> None:
    writer, metadata = Writer(client, open_fence), {"namespace": place[0], "name": place[1]}
    try:
        live = msgspec.json.decode(await client.get(CONFIG_MAPS.path(*place)))
    except NotFoundError:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: text}}
        await writer.create(CONFIG_MAPS, body)
        return
    await writer.replace(CONFIG_MAPS, {**live, "data": {**(live.get("data") or {}), KEY: text}})


def _print(
    wanted: Wanted, found: Sequence[Difference], fixed: Sequence[Difference], output: Output, *, headers: bool
) -> None:
    done = set(map(id, fixed))
    if output is not Output.TABLE:
        items = [{**one.to_dict(), "fixed": id(one) in done} for one in found]
        print_document(
            {"apiVersion": "kai-py/v1", "kind": "Drift", "blueprint": wanted.blueprint, "items": items}, output
        )
        return
    about = f" from {wanted.blueprint}" if wanted.blueprint else ""
    verdict = f"{counted(len(found), 'difference')}{about}, {len(fixed)} fixed" if found else f"no drift{about}"
    rows = [
        (
            one.kind,
            one.name,
            "fixed" if id(one) in done else one.change,
            one.field,
            *_cells(one.wanted, one.live),
        )
        for one in found
    ]
    columns = ("Kind", "Name", "Change", "Field", "Wanted", "Live")
    print_tables([Table("Drift", columns, rows, _STYLES)], headers=headers, verdict=verdict)
    if any(one.change == "extra" and id(one) not in done for one in found) and fixed:
        note("what is extra stays: delete it, or fix with --prune")


def _cells(wanted: object, live: object) -> tuple[str, str]:
    """Two values in cells; of what is too long for one, the part in which they differ. The document has all of it."""
    texts = _text(wanted), _text(live)
    same = next((at for at, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    begin = max(0, same - _BEFORE) if max(map(len, texts)) > _CELL else 0
    return _part(texts[0], begin), _part(texts[1], begin)


def _text(value: object) -> str:
    if value is None:
        return ""
    return "(object)" if isinstance(value, dict) else json.dumps(value, ensure_ascii=False)


def _part(text: str, begin: int) -> str:
    shown = f"…{text[begin + 1 :]}" if 0 < begin < len(text) else text
    return shown if len(shown) <= _CELL else f"{shown[: _CELL - 1]}…"
