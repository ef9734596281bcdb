"""``kai-py run``."""

from __future__ import annotations

import errno
from enum import StrEnum
from typing import Annotated

import typer
import uvloop

from kai_py.cli.failures import Failure
from kai_py.cli.options import Context, Kubeconfig, SettingsFile, namespaced
from kai_py.operators.run import RunConfig, run_scheduler
from kai_py.telemetry.logs import configure

app = typer.Typer(add_completion=False)

_DEFAULTS = RunConfig()


class LogFormat(StrEnum):
    """Forms of log lines."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """Lowest level that is shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def written(place: tuple[str, str]) -> str:
    """The same as it is given on the command line."""
    return "/".join(place)


@app.command("run")
def run(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    scheduler_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Schedule pods with this spec.schedulerName; wins over the setting schedulerNames.",
            show_default=False,
        ),
    ] = None,
    settings: SettingsFile = None,
    settings_configmap: Annotated[
        str, typer.Option(metavar="NAMESPACE/NAME", help="The ConfigMap with the settings; it is watched.")
    ] = written(_DEFAULTS.settings_configmap),
    node_pool: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="Schedule the part of the cluster whose label kai.scheduler/node-pool has this value; wins over the "
            "setting nodePool.",
            show_default=False,
        ),
    ] = None,
    leader_elect: Annotated[
        bool, typer.Option(help="Decide only while holding the lease, so that replicas can stand by.")
    ] = _DEFAULTS.leader_elect,
    lease: Annotated[str, typer.Option(metavar="NAMESPACE/NAME", help="The Lease.")] = written(_DEFAULTS.lease),
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Serve Prometheus metrics at /metrics; 0 = do not.")
    ] = _DEFAULTS.metrics_port or 0,
    probes_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Serve the liveness probe at /healthz; 0 = do not.")
    ] = _DEFAULTS.probes_port or 0,
    log_format: Annotated[
        LogFormat, typer.Option(help="Log lines for people, or one JSON object per line.")
    ] = LogFormat.CONSOLE,
    log_level: Annotated[LogLevel, typer.Option(help="The lowest level that is logged.")] = LogLevel.INFO,
) -> None:
    """Schedule pods of a cluster, until stopped.

    In a pod it uses the service account, elsewhere the current context of the kubeconfig. The CRDs must be installed.

    For instance:

    kubectl apply -f crds/

    kai-py run --lease default/kai-py
    """
    configure(log_format.value, log_level.value)
    config = RunConfig(
        kubeconfig=kubeconfig,
        context=context,
        scheduler_name=scheduler_name,
        settings_file=settings,
        settings_configmap=namespaced(settings_configmap),
        node_pool=node_pool,
        leader_elect=leader_elect,
        lease=namespaced(lease),
        metrics_port=metrics_port or None,
        probes_port=probes_port or None,
    )
    try:
        uvloop.run(run_scheduler(config))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        ports = f"metrics: {metrics_port}, probes: {probes_port}"
        step = "Choose other ports with --metrics-port and --probes-port; 0 turns one off."
        raise Failure("a port is in use already", [ports], step) from error
