"""``kai-py replay``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Final

import typer

from kai_py.cli.bench.machine import machine
from kai_py.cli.failures import FAILED, Failure
from kai_py.cli.options import OutputOption
from kai_py.cli.output import Output, Table, print_document, print_tables
from kai_py.errors import Fault, InputError
from kai_py.planning.openb import WHOLE, Demand, Server, arrivals, read_demands, read_servers, trace_names
from kai_py.planning.replay import Outcome, replay
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings

Json = dict[str, Any]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Replay recorded workloads.")

#: What arrives, as a multiple of the GPUs that there are.
_LOAD: Final = 1.3


class Policy(StrEnum):
    """How pods are laid over nodes: as the settings do by default, or by a strategy of ``placement``."""

    DEFAULT = "default"
    BINPACK = "binpack"
    SPREAD = "spread"
    LEAST_FRAGMENTATION = "leastFragmentation"

    @property
    def settings(self) -> Settings:
        """The settings of a policy, for GPU pods and all others."""
        return load_settings({} if self is Policy.DEFAULT else {"placement": {"gpu": self.value, "cpu": self.value}})


@app.callback()
def group() -> None:
    """Replay recorded workloads."""


@app.command("openb")
def openb(
    trace_dir: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Folder with openb_node_list_gpu_node.csv and openb_pod_list_*.csv.",
        ),
    ],
    policy: Annotated[Policy, typer.Option(help="How pods are laid over nodes.")] = Policy.DEFAULT,
    trace: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Such as default or cpu200. May be given often; by default all."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many random orders of arrival.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 42,
    one_by_one: Annotated[
        bool,
        typer.Option("--one-by-one", help="A cycle for each pod: the same decisions, much slower."),
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Fill the openb cluster as the FGD paper does, and tell which part of its GPUs was given.

    Pods of the trace and random copies of them arrive in random order until they have asked for 130 % of all GPUs.
    Nobody leaves; who finds no place is turned away. The function that decides in production decides.

    For instance:

    kai-py replay openb --trace-dir openb --policy leastFragmentation

    kai-py replay openb --trace-dir openb --trace default --seeds 1 -o json
    """
    servers = read_servers(trace_dir)
    names = tuple(dict.fromkeys(trace or trace_names(trace_dir)))
    if not names:
        raise InputError([Fault(str(trace_dir), "", "there is no openb_pod_list_*.csv")])
    demands = {name: read_demands(trace_dir, name) for name in names}
    orders = range(seed, seed + seeds)
    results = [_trace(name, servers, demands[name], orders, policy, one_by_one=one_by_one) for name in names]
    if output is Output.TABLE:
        print_tables([_table(results)])
    else:
        kind = {"apiVersion": "kai-py/v1", "kind": "Replay", "trace": "openb", "policy": policy.value}
        print_document({**kind, "machine": machine(), "results": results}, output)
    if broken := [f"{one['trace']}, seed {run['seed']}" for one in results for run in one["runs"] if run["broken"]]:
        raise Failure("decisions break invariants; the numbers are worth nothing", broken, status=FAILED)


def _trace(
    name: str,
    servers: tuple[Server, ...],
    demands: tuple[Demand, ...],
    seeds: range,
    policy: Policy,
    *,
    one_by_one: bool,
) -> Json:
    capacity = sum(server.gpus for server in servers) * WHOLE
    runs = []
    for seed in seeds:
        arriving = arrivals(demands, capacity, seed, load=_LOAD)
        runs.append(_run(seed, arriving, replay(servers, arriving, policy.settings, one_by_one=one_by_one)))
    return {"trace": name, "meanPercent": round(fmean(run["percent"] for run in runs), 3), "runs": runs}


def _run(seed: int, arriving: list[Demand], outcome: Outcome) -> Json:
    return {
        "seed": seed,
        "percent": round(outcome.allocation, 3),
        "gpus": outcome.allocated / WHOLE,
        "ofGpus": outcome.capacity // WHOLE,
        "arrived": len(arriving),
        "placed": sum(map(bool, outcome.nodes)),
        "seconds": round(outcome.seconds, 3),
        "cpuSeconds": round(outcome.cpu_seconds, 3),
        "broken": outcome.broken,
    }


def _table(results: list[Json]) -> Table:
    columns = ("Trace", "Seed", "GPUs given %", "Given", "Of", "Arrived", "Placed", "Seconds", "CPU seconds")
    rows = []
    for one in results:
        for run in one["runs"]:
            numbers = (f"{run['gpus']:.2f}", *(str(run[key]) for key in ("ofGpus", "arrived", "placed")))
            times = f"{run['seconds']:.2f}", f"{run['cpuSeconds']:.2f}"
            rows.append((one["trace"], str(run["seed"]), f"{run['percent']:.2f}", *numbers, *times))
        rows.append((one["trace"], "mean", f"{one['meanPercent']:.2f}", *[""] * 6))
    return Table("GPUs that were given at 130 % demand", columns, rows)
