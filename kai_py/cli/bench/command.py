"""``kai-py bench``."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated, Any, Final, TypeVar

import typer
import uvloop

from kai_py.api.keys import SCHEDULER_NAME
from kai_py.cli.bench import decisions
from kai_py.cli.bench.admission import measure_admission
from kai_py.cli.bench.claims import measure as measure_claims
from kai_py.cli.bench.decide import measure
from kai_py.cli.bench.device_shapes import SHAPES as DEVICE_SHAPES
from kai_py.cli.bench.grouping import measure_grouping
from kai_py.cli.bench.live import Live, measure_binding, measure_rest, measure_scheduling
from kai_py.cli.bench.machine import machine
from kai_py.cli.bench.scenes import SCENES
from kai_py.cli.bench.shapes import SHAPES
from kai_py.cli.bench.soak import measure_soak
from kai_py.cli.failures import FAILED, Failure
from kai_py.cli.options import Context, Kubeconfig, OutputOption
from kai_py.cli.output import Output, Table, print_document, print_tables

Json = dict[str, Any]
_What = TypeVar("_What")

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Measure decisions, and pods per second.")

_ALL: Final = "all"


def _known(name: str, table: Collection[str]) -> str:
    if name != _ALL and name not in table:
        raise typer.BadParameter(f"{name!r} should be {_ALL} or one of {', '.join(table)}")
    return name


def _shape(name: str) -> str:
    return _known(name, SHAPES)


def _device_shape(name: str) -> str:
    return _known(name, DEVICE_SHAPES)


def _scene(name: str) -> str:
    return _known(name, SCENES)


@app.command("decide")
def decide(
    shape: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            callback=_shape,
            autocompletion=lambda: [_ALL, *SHAPES],
            help=f"What to decide about: {_ALL}, or one of {', '.join(SHAPES)}.",
        ),
    ] = _ALL,
    output: OutputOption = Output.TABLE,
) -> None:
    """Measure the core: how long a cycle takes to decide, without an API server.

    Every shape is measured in a process of its own. "Decision" is the time from an event that the store has taken in
    to the decisions: snapshot and cycle.
    """
    results = _apart(measure, SHAPES, shape)
    _report(results, _table(results), "DecideBenchmark", output)


@app.command("dra")
def dra(
    shape: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            callback=_device_shape,
            autocompletion=lambda: [_ALL, *DEVICE_SHAPES],
            help=f"Who claims what: {_ALL}, or one of {', '.join(DEVICE_SHAPES)}.",
        ),
    ] = _ALL,
    output: OutputOption = Output.TABLE,
) -> None:
    """Measure claims on devices: how long a cycle takes to give them away, without an API server.

    As with decide, "decision" is snapshot and cycle together, after an event.
    """
    results = _apart(measure_claims, DEVICE_SHAPES, shape)
    _report(results, _table(results), "DeviceBenchmark", output)


@app.command("core")
def core(
    shape: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            callback=_scene,
            autocompletion=lambda: [_ALL, *SCENES],
            help=f"Who wants what: {_ALL}, or one of {', '.join(SCENES)}.",
        ),
    ] = _ALL,
    output: OutputOption = Output.TABLE,
) -> None:
    """Measure who makes room for whom: how long it takes to decide, and what the decisions gain and cost.

    All actions run: allocate, consolidate, reclaim, preempt, stale gang eviction. "Lost" is GPU-seconds of work that
    evictions end, "unfair" the GPUs by which a queue differs from its fair share afterwards, at most.
    """
    results = _apart(decisions.measure, SCENES, shape)
    _report(results, _quality_table(results), "CoreBenchmark", output)


def _apart(measured: Callable[[str, _What], Json], table: Mapping[str, _What], name: str) -> list[Json]:
    """Measure one or all entries of a table, each in a process of its own: memory of others would count otherwise."""
    names = list(table) if name == _ALL else [name]
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh, max_tasks_per_child=1) as processes:
        return list(processes.map(measured, names, [table[name] for name in names]))


def _report(results: list[Json], table: Table, kind: str, output: Output) -> None:
    if output is Output.TABLE:
        print_tables([table])
    else:
        print_document({"apiVersion": "kai-py/v1", "kind": kind, "machine": machine(), "results": results}, output)
    if broken := [f"{one['shape']}: {one['broken']} contradictions" for one in results if one["broken"]]:
        raise Failure("decisions break invariants; the numbers are worth nothing", broken, status=FAILED)


def _quality_table(results: list[Json]) -> Table:
    columns = ("Shape", "Decides", "Decision ms", "Min", "Placed", "Evicted", "Moved", "Lost GPU s", "Unfair GPUs")
    return Table("Who makes room for whom, in process", columns, [_quality_row(one) for one in results])


def _quality_row(one: Json) -> tuple[str, ...]:
    decision = one["milliseconds"]["decision"]
    times = (f"{decision[which]:.1f}" for which in ("median", "min"))
    numbers = (f"{one[key]:,.10g}" for key in ("placed", "evictions", "moved", "gpuSecondsLost", "maxUnfairness"))
    return one["shape"], one["about"], *times, *numbers


def _table(results: list[Json]) -> Table:
    columns = ("Shape", "Decides", "Placed", "Decision ms", "Min", "Max", "Memory MiB")
    return Table("Decisions, in process", columns, [_row(one) for one in results])


def _row(one: Json) -> tuple[str, ...]:
    decision, memory = one["milliseconds"]["decision"], one["memoryMiB"]["after"]
    times = (f"{decision[which]:.1f}" for which in ("median", "min", "max"))
    return one["shape"], one["about"], str(one["placed"]), *times, "" if memory is None else f"{memory:.0f}"


Nodes = Annotated[int, typer.Option(min=1, max=20_000, help="Fake nodes to create, with 8 GPUs each.")]
Gpus = Annotated[int, typer.Option(min=0, max=8, help="GPUs that every pod asks for.")]
Fresh = Annotated[
    bool, typer.Option("--minicluster", help="Start an embedded cluster for it, instead of using a running one.")
]
Own = Annotated[
    bool,
    typer.Option(
        "--scheduler/--no-scheduler",
        help="Start a scheduler of its own, in its own process; or measure one that runs already.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Name of the scheduler that runs already, with --no-scheduler; by default {SCHEDULER_NAME}.",
        show_default=False,
    ),
]
MetricsUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Where a scheduler that runs already shows its metrics.", show_default=False),
]
PreCreated = Annotated[
    bool,
    typer.Option(
        "--pre-created/--live",
        help="Create all pods before the scheduler starts; or while it runs.",
    ),
]
Claims = Annotated[bool, typer.Option("--claims", help="Let every pod claim one device instead of asking for GPUs.")]
Patience = Annotated[float, typer.Option(min=1, help="Give up after so many seconds without all pods bound.")]


@app.command("fill")
def fill(
    pods: Annotated[int, typer.Option(min=1, help="How many.")] = 4000,
    nodes: Nodes = 500,
    gpus: Gpus = 1,
    gang: Annotated[int, typer.Option(min=1, help="Pods that start together or not at all; 1 = single pods.")] = 1,
    claims: Claims = False,
    pre_created: PreCreated = True,
    minicluster: Fresh = False,
    scheduler: Own = True,
    scheduler_name: Name = None,
    metrics_url: MetricsUrl = None,
    timeout: Patience = 300.0,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Fill a cluster with pods, and tell how fast they were bound.

    It makes its own nodes, queue, namespace and pods on the current cluster, watches them as a user would, and deletes
    them again. The CRDs must be installed. Nothing else on the cluster is touched, and nobody else's pods come to the
    fake nodes.

    For instance:

    kai-py bench fill --minicluster

    kai-py bench fill --pods 400 --nodes 50 --gang 4 --live

    kai-py bench fill --minicluster --claims
    """
    _print(
        Live(
            pods=pods,
            nodes=nodes,
            gpus=gpus,
            gang=gang,
            claims=claims,
            pre_created=pre_created,
            minicluster=minicluster,
            scheduler=scheduler,
            scheduler_name=scheduler_name,
            metrics_url=metrics_url,
            patience=timeout,
            kubeconfig=kubeconfig,
            context=context,
        ),
        "fill",
    )


@app.command("gang")
def gang(
    pods: Annotated[int, typer.Option(min=1, help="Members of the gang.")] = 512,
    nodes: Nodes = 512,
    gpus: Gpus = 2,
    pre_created: PreCreated = True,
    minicluster: Fresh = False,
    scheduler: Own = True,
    scheduler_name: Name = None,
    metrics_url: MetricsUrl = None,
    timeout: Patience = 300.0,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Start one large gang, and tell how fast it was bound; see fill."""
    _print(
        Live(
            pods=pods,
            nodes=nodes,
            gpus=gpus,
            gang=pods,
            pre_created=pre_created,
            minicluster=minicluster,
            scheduler=scheduler,
            scheduler_name=scheduler_name,
            metrics_url=metrics_url,
            patience=timeout,
            kubeconfig=kubeconfig,
            context=context,
        ),
        "gang",
    )


@app.command("group")
def group(
    pods: Annotated[int, typer.Option(min=1, max=200_000, help="Pods to group, at least.")] = 10_000,
    owners: Annotated[int, typer.Option(min=1, help="Workloads that they belong to.")] = 500,
) -> None:
    """Tell where pods belong, in process: how long the pod grouper takes for all of them."""
    document = {"apiVersion": "kai-py/v1", "kind": "GroupBenchmark", "machine": machine()}
    print_document({**document, **measure_grouping(pods, owners)}, Output.JSON)


@app.command("admission")
def admission(
    rate: Annotated[int, typer.Option(min=1, max=10_000, help="Reviews a second.")] = 200,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long.")] = 20.0,
) -> None:
    """Measure admission: how long reviews of pods take at a steady rate, from a process of its own."""
    document = {"apiVersion": "kai-py/v1", "kind": "AdmissionBenchmark", "machine": machine()}
    print_document({**document, **uvloop.run(measure_admission(rate, seconds))}, Output.JSON)


@app.command("soak")
def soak(
    pods: Annotated[int, typer.Option(min=10, help="How many come, in all.")] = 200_000,
    nodes: Annotated[
        int, typer.Option(min=1, max=5000, help="Nodes of eight GPUs; more pods come to more nodes.")
    ] = 100,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 1,
) -> None:
    """Let pods come and go for a virtual day, in process, and check every decision.

    Jobs arrive, run, end and are given up; nodes fail and are cordoned; quotas change. It fails when a decision
    contradicts the rules, a node has more than it can take, a gang stays broken, or memory grows.
    """
    result = measure_soak(pods, nodes, seed)
    print_document({"apiVersion": "kai-py/v1", "kind": "SoakBenchmark", "machine": machine(), **result}, Output.JSON)
    if result["broken"] or not result["flat"]:
        memory = f"memory after each tenth: {result['memoryMiB']} MiB"
        raise Failure("the run did not hold what it should", [*result["contradictions"], memory], status=FAILED)


@app.command("bind")
def bind(
    pods: Annotated[int, typer.Option(min=1, help="How many.")] = 4000,
    nodes: Nodes = 500,
    concurrency: Annotated[int, typer.Option(min=1, max=128, help="Requests in flight.")] = 48,
    minicluster: Fresh = False,
    timeout: Patience = 300.0,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Bind pods to nodes in turn, without any scheduler: what API server and client can do at most."""
    live = Live(
        pods=pods, nodes=nodes, minicluster=minicluster, patience=timeout, kubeconfig=kubeconfig, context=context
    )
    _show(uvloop.run(measure_binding(live, concurrency)), "bind")


@app.command("rest")
def rest(
    pods: Annotated[int, typer.Option(min=1, help="How many run.")] = 50_000,
    nodes: Nodes = 5000,
    changes: Annotated[int, typer.Option(min=1, help="How many of them are deleted, one after the other.")] = 20,
    minicluster: Fresh = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Start a scheduler where everything runs already: memory, and a cycle when one pod changes."""
    live = Live(pods=pods, nodes=nodes, minicluster=minicluster, kubeconfig=kubeconfig, context=context)
    _show(uvloop.run(measure_rest(live, changes)), "rest")


def _print(live: Live, name: str) -> None:
    _show(uvloop.run(measure_scheduling(live)), name)


def _show(result: Json, name: str) -> None:
    print(
        json.dumps(
            {"apiVersion": "kai-py/v1", "kind": "LiveBenchmark", "benchmark": name, "machine": machine(), **result},
            indent=2,
        )
    )
    if result["bound"] < result["pods"]:
        raise Failure(f"only {result['bound']} of {result['pods']} pods were bound in time")
