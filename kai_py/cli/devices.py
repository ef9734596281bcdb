"""``kai-py devices``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from kai_py.cli.failures import note
from kai_py.cli.live import connected
from kai_py.cli.options import Context, Kubeconfig, NoHeaders
from kai_py.cli.output import Table, WideOutput, print_document, print_tables
from kai_py.planning.cluster import read_cluster
from kai_py.planning.devices import BLOCKED, FREE, SHARED, STATES, TAINTED, TAKEN, devices
from kai_py.planning.documents import read_documents
from kai_py.planning.manifests import Sourced

Json = dict[str, Any]

app = typer.Typer(add_completion=False)

_STYLES = {"Incomplete": "yellow", "Updating": "yellow", "Invalid": "red", FREE: "green", TAINTED: "red"}


@app.command("devices")
def devices_command(
    filenames: Annotated[
        list[str] | None,
        typer.Option(
            "--filename",
            "-f",
            metavar="PATH",
            help="Look at manifests instead of the live cluster: a YAML or JSON file, a folder of them, or - for "
            "standard input. May be given often.",
            show_default=False,
        ),
    ] = None,
    node: Annotated[str, typer.Option(metavar="NAME", help="Only pools that this node sees.", show_default=False)] = "",
    output: Annotated[
        WideOutput,
        typer.Option("--output", "-o", help="Form of the answer: a row per pool, or per device; json or yaml."),
    ] = WideOutput.TABLE,
    no_headers: NoHeaders = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """List the devices: what is free, who has what, what is tainted or in pieces.

    Free devices can be had now, each looked at alone. Taken ones belong to a claim, shared ones to several that have
    parts of them. Blocked ones cannot be had because others are cut from the same device. "In pieces" counts devices
    that are cut, or groups on one PCIe root, of which some is taken and some is left.

    For instance:

    kai-py devices --node gpu-1 -o wide

    kubectl get nodes,resourceslices,resourceclaims -A -o json | kai-py devices -f - -o json
    """
    if filenames and (kubeconfig or context):
        raise typer.BadParameter("-f is instead of a live cluster: leave --kubeconfig and --context out")
    objects = list(read_documents(filenames, sys.stdin)) if filenames else asyncio.run(_live(kubeconfig, context))
    answer = devices(objects, node=node)
    if output in (WideOutput.JSON, WideOutput.YAML):
        print_document(answer, output)
        return
    for warning in answer["warnings"]:
        note(warning, kind="warning")
    table = _by_device(answer) if output is WideOutput.WIDE else _by_pool(answer)
    print_tables([table, _gone(answer)], headers=not no_headers)


async def _live(kubeconfig: str | None, context: str | None) -> list[Sourced]:
    async with connected(kubeconfig, context) as client:
        return await read_cluster(client, lambda warning: note(warning, kind="warning"))


def _by_pool(answer: Json) -> Table:
    columns = ("Node", "Driver", "Pool", "State", "Devices", *map(str.capitalize, STATES), "In pieces")
    rows = [
        (
            *_whose(pool),
            pool["state"],
            str(pool["devices"]),
            *(str(pool["counts"][state]) for state in STATES),
            _pieces(pool),
        )
        for pool in answer["pools"]
    ]
    return Table("Devices", columns, rows, _STYLES)


def _whose(pool: Json) -> tuple[str, str, str]:
    return pool["node"] or "(several)", pool["driver"], pool["pool"]


def _pieces(pool: Json) -> str:
    """Devices that are cut and groups that are broken, of which something is left; and the largest part of it."""
    said = []
    if cut := [one for one in pool["cut"] if one["inUse"] and one["largestFree"]]:
        largest = cut[0]["largestFree"] if len(cut) == 1 else ", ".join(f"{one['largestFree']}" for one in cut[:2])
        said.append(f"{len(cut)} of {len(pool['cut'])} cut, left: {largest}{', …' if len(cut) > 2 else ''}")
    if broken := [one for one in pool["groups"].values() if 0 < one["free"] < one["devices"]]:
        said.append(f"{len(broken)} of {len(pool['groups'])} groups")
    return "; ".join(said)


def _by_device(answer: Json) -> Table:
    columns = ("Node", "Driver", "Pool", "Device", "State", "Claims", "For", "Left")
    rows = [(*_whose(pool), *_device(item)) for pool in answer["pools"] for item in pool["items"]]
    return Table("Devices", columns, rows, _STYLES)


def _device(item: Json) -> tuple[str, ...]:
    claims = item["claims"]
    users = dict.fromkeys(user for claim in claims for user in claim["reservedFor"])
    return item["name"], item["state"], ", ".join(one["claim"] for one in claims), ", ".join(users), _left(item)


def _left(item: Json) -> str:
    """What is left of a device that is shared, or what keeps claims from it."""
    if item["state"] == TAINTED:
        return ", ".join(item["taints"])
    if item["state"] in (TAKEN, BLOCKED) or "capacity" not in item:
        return ""
    found: Iterator[str] = (f"{name} {one['free']} of {one['total']}" for name, one in item["capacity"].items())
    return ", ".join(found) if item["state"] == SHARED else ""


def _gone(answer: Json) -> Table:
    columns = ("Driver", "Pool", "Device", "Claim", "For")
    rows = [
        (one["driver"], one["pool"], one["device"], one["claim"], ", ".join(one["reservedFor"]))
        for one in answer["gone"]
    ]
    return Table("Devices that claims have and no driver publishes", columns, rows)
