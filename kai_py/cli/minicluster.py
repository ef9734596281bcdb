"""``kai-py minicluster``."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
import yaml

from kai_py.api.crds import DEFINITIONS, manifest
from kai_py.api.keys import DEFAULT_PARENT_QUEUE, DEFAULT_QUEUE, QUEUE_API_VERSION
from kai_py.cli.failures import MISUSED, Failure
from kai_py.minicluster import MiniCluster, Worker
from kai_py.minicluster.devices.offers import equip_pool, parse_offers
from kai_py.minicluster.kinds import CRDS, NAMESPACES, PRIORITY_CLASSES
from kai_py.minicluster.pools import PROFILES, SERVERS, Object, nodes, register
from kai_py.minicluster.rules import GATES, builtin_rules
from kai_py.minicluster.workers.claims import Claims
from kai_py.minicluster.workers.custom import workload_crds
from kai_py.minicluster.workers.deployments import Deployments, ReplicaSets
from kai_py.minicluster.workers.devices import DeviceDrivers
from kai_py.minicluster.workers.jobs import Jobs
from kai_py.minicluster.workers.jobsets import JobSets
from kai_py.minicluster.workers.kubelets import Kubelets
from kai_py.minicluster.workers.node_lifecycle import NodeLifecycle
from kai_py.minicluster.workers.pod_groups import PodGroupProtection
from kai_py.minicluster.workers.pytorch_jobs import PyTorchJobs
from kai_py.planning.cluster import SETTINGS_AT

app = typer.Typer(add_completion=False)

KUBECONFIG: Final = Path("kai-py-mini.kubeconfig")

#: The PriorityClasses that KAI installs. From 100 on, podgroups are not preemptible.
PRIORITIES: Final = {"train": 50, "build-preemptible": 75, "build": 100, "inference": 125}

_QUEUES: Final = "queues.scheduling.run.ai"
_UNLIMITED: Final = {"quota": -1, "limit": -1, "overQuotaWeight": 1}


def _offers(texts: list[str]) -> list[str]:
    try:
        parse_offers(texts, SERVERS)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return texts


def _profile(name: str) -> str:
    if name not in PROFILES:
        raise typer.BadParameter(f"{name!r} should be one of {', '.join(PROFILES)}")
    return name


def _gates(names: list[str]) -> list[str]:
    try:
        builtin_rules(frozenset(names))
    except ValueError as error:
        raise typer.BadParameter(f"{error}; known are {', '.join(sorted(GATES))}") from error
    return names


@app.command("minicluster")
def minicluster(
    number: Annotated[int, typer.Option("--nodes", min=0, max=20_000, help="How many fake nodes.")] = 50,
    profile: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            callback=_profile,
            autocompletion=lambda: list(PROFILES),
            help=f"What the nodes look like: {', '.join(PROFILES)}.",
        ),
    ] = "h100",
    devices: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SERVER=]KINDS",
            callback=lambda texts: _offers(texts or []),
            help="What nodes offer to claims on devices: plugin, whole, mig, shared or vfio GPUs, and nics, fabric, "
            "joined by +; of all servers, or of one kind of server. May be given several times.",
            show_default="plugin",
        ),
    ] = None,
    gates: Annotated[
        list[str] | None,
        typer.Option(
            "--feature-gate",
            metavar="NAME",
            callback=lambda names: _gates(names or []),
            help="An alpha feature of Kubernetes to switch on. May be given several times.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the API server; 0 takes a free one.")] = 0,
    kubeconfig: Annotated[
        Path, typer.Option(metavar="FILE", dir_okay=False, help="The kubeconfig to write; it is removed at the end.")
    ] = KUBECONFIG,
    crds: Annotated[
        bool,
        typer.Option(
            help="Install the CRDs (also JobSet's and PyTorchJob's), default-queue and KAI's PriorityClasses."
        ),
    ] = True,
) -> None:
    """Start a cluster in this process: an API server and fake nodes.

    It listens on 127.0.0.1 only, needs no privileges, and keeps everything in memory until Ctrl-C ends it. kubectl
    works with it. Jobs, JobSets, PyTorchJobs, ReplicaSets and Deployments make pods; a pod that is bound to a fake node
    "runs" there.

    For instance:

    kai-py minicluster --nodes 100 --profile mixed

    kai-py minicluster --nodes 16 --profile mixed --devices h100=mig+nics --devices a100=shared
    """
    _refuse_foreign(kubeconfig)
    cluster = MiniCluster(port=port, workers=workers(), gates=frozenset(gates or ()))
    pool = equip_pool(nodes(profile, number), parse_offers(devices or [], SERVERS))
    furnish(cluster, pool, crds=crds)
    try:
        uvloop.run(_serve(cluster, kubeconfig, introduction(pool, profile, kubeconfig)))
    except OSError as error:
        step = "Choose another one with --port; 0 takes a free one."
        raise Failure(f"cannot serve on port {port}", [error.strerror or str(error)], step) from error
    finally:
        kubeconfig.unlink(missing_ok=True)


def workers() -> list[Worker]:
    """What brings the cluster to life: kubelets, device drivers, and the controllers of workloads, claims and nodes."""
    workloads = (Jobs(), JobSets(), PyTorchJobs(), ReplicaSets(), Deployments())
    lively = (Kubelets(), NodeLifecycle(), *workloads, Claims(), PodGroupProtection(), DeviceDrivers())
    return [worker.run for worker in lively]


def furnish(cluster: MiniCluster, pool: list[Object], *, crds: bool) -> None:
    """Put nodes into a cluster that does not run yet, and what a scheduler expects to find.

    Args:
        cluster: empty.
        pool: its nodes.
        crds: whether to install our CRDs and those of JobSets and PyTorchJobs, the default queues and KAI's
            PriorityClasses.
    """
    register(cluster.storage, pool)
    cluster.storage.create(NAMESPACES.key, {"metadata": {"name": SETTINGS_AT[0]}})
    if not crds:
        return
    for definition in DEFINITIONS:
        cluster.storage.create(CRDS.key, manifest(definition))
    for definition_of_others in workload_crds():
        cluster.storage.create(CRDS.key, definition_of_others)
    for name, parent in ((DEFAULT_PARENT_QUEUE, ""), (DEFAULT_QUEUE, DEFAULT_PARENT_QUEUE)):
        cluster.storage.create(_QUEUES, _queue(name, parent))
    for name, value in PRIORITIES.items():
        cluster.storage.create(PRIORITY_CLASSES.key, {"metadata": {"name": name}, "value": value})


def _queue(name: str, parent: str) -> Object:
    spec: Object = {"resources": {resource: dict(_UNLIMITED) for resource in ("cpu", "memory", "gpu")}}
    return {
        "apiVersion": QUEUE_API_VERSION,
        "kind": "Queue",
        "metadata": {"name": name},
        "spec": spec | ({"parentQueue": parent} if parent else {}),
    }


def introduction(pool: list[Object], profile: str, kubeconfig: Path) -> str:
    """What to do with the cluster, ready to be copied. ``{url}`` is left to be filled in."""
    gpus = sum(int(node["metadata"]["labels"].get("nvidia.com/gpu.count", 0)) for node in pool)
    return f"""\
{len(pool)} {profile} nodes with {gpus} GPUs, served on {{url}}. Ctrl-C ends it. In another shell:

  export KUBECONFIG={kubeconfig.resolve()}
  kubectl get nodes,queues
  kai-py run                  # schedules pods that say schedulerName: kai-scheduler
  kai-py queues --watch
"""


async def _serve(cluster: MiniCluster, kubeconfig: Path, text: str) -> None:
    """Serve until SIGINT or SIGTERM."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with cluster:
        cluster.write_kubeconfig(kubeconfig)
        print(text.format(url=cluster.url), flush=True)
        await stopped.wait()


def _refuse_foreign(kubeconfig: Path) -> None:
    """Somebody's kubeconfig must not be overwritten: only one that an earlier minicluster has left behind may."""
    if not kubeconfig.exists():
        return
    with suppress(OSError, yaml.YAMLError, AttributeError, UnicodeDecodeError):
        found = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        if found.get("current-context") == MiniCluster().kubeconfig()["current-context"]:
            return
    step = "Name another file with --kubeconfig."
    raise Failure(f"{kubeconfig} exists and is not a minicluster's", next_step=step, status=MISUSED)
