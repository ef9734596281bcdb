"""``kai-py run``."""

from __future__ import annotations

from typing import Annotated

import typer

from kai_py.cli.options import Context, Kubeconfig, SettingsFile, named_object, written
from kai_py.cli.serving import LogFormat, LogFormatOption, LogLevel, LogLevelOption, ProbesPort, serve
from kai_py.kube.election import LeaseTimes
from kai_py.operators.run import RunConfig, run_scheduler
from kai_py.telemetry.logs import configure

app = typer.Typer(add_completion=False)

_DEFAULTS = RunConfig()
_LAST_PORT = 65535

_SchedulerName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Schedule pods with this spec.schedulerName; wins over the setting schedulerNames.",
        show_default=False,
    ),
]
_SettingsConfigMap = Annotated[
    str, typer.Option(metavar="NAMESPACE/NAME", help="The ConfigMap with the settings; it is watched.")
]
_NodePool = Annotated[
    str | None,
    typer.Option(
        metavar="VALUE",
        help="Schedule the part of the cluster whose label kai.scheduler/node-pool has this value; wins over the "
        "setting nodePool.",
        show_default=False,
    ),
]
_LeaderElect = Annotated[bool, typer.Option(help="Decide only while holding the lease, so that replicas can stand by.")]
_Lease = Annotated[str, typer.Option(metavar="NAMESPACE/NAME", help="The Lease.")]
_LeaseDuration = Annotated[
    int,
    typer.Option(
        metavar="SECONDS", min=1, help="Another replica may take the lease when it was not renewed for so long."
    ),
]
_RenewDeadline = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", help="The leader stops when it could not renew for so long; less than the duration."
    ),
]
_RetryPeriod = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", help="Time between two renewals, and between two looks of a replica that stands by."
    ),
]
_MetricsPort = Annotated[int, typer.Option(min=0, max=65535, help="Serve Prometheus metrics at /metrics; 0 = do not.")]
_DecisionsAddress = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT",
        help="Serve the last decisions at /decisions, see kai-py log; empty = do not. Beyond loopback, whoever "
        "asks needs a token, and the verb get on the nonResourceURL /decisions.",
    ),
]
_Pod = Annotated[
    str | None,
    typer.Option(
        metavar="NAMESPACE/NAME",
        help="The pod that this process runs in: its condition kai.scheduler/SettingsAccepted says whether the "
        "settings are in force, and if not, why.",
        show_default=False,
    ),
]


def _socket(address: tuple[str, int] | None) -> str:
    return f"{address[0]}:{address[1]}" if address else ""


def _host_and_port(text: str) -> tuple[str, int] | None:
    """``HOST:PORT``; an IPv6 address may be in brackets."""
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise typer.BadParameter(f"--decisions-address {text!r} should be HOST:PORT")
    return host.strip("[]"), int(port)


def _times(duration: int, renew_deadline: float, retry: float) -> LeaseTimes:
    if not duration > renew_deadline > retry > 0:
        raise typer.BadParameter(
            f"--lease-duration {duration} should be more than --lease-renew-deadline {renew_deadline:g}, and that more "
            f"than --lease-retry-period {retry:g}, which is more than 0"
        )
    return LeaseTimes(duration, renew_deadline, retry)


@app.command("run")
def run(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    scheduler_name: _SchedulerName = None,
    settings: SettingsFile = None,
    settings_configmap: _SettingsConfigMap = written(_DEFAULTS.settings_configmap),
    node_pool: _NodePool = None,
    leader_elect: _LeaderElect = _DEFAULTS.leader_elect,
    lease: _Lease = written(_DEFAULTS.lease),
    lease_duration: _LeaseDuration = int(_DEFAULTS.lease_times.duration),
    lease_renew_deadline: _RenewDeadline = _DEFAULTS.lease_times.renew_deadline,
    lease_retry_period: _RetryPeriod = _DEFAULTS.lease_times.retry,
    metrics_port: _MetricsPort = _DEFAULTS.metrics_port or 0,
    probes_port: ProbesPort = _DEFAULTS.probes_port or 0,
    decisions_address: _DecisionsAddress = _socket(_DEFAULTS.decisions_at),
    pod: _Pod = None,
    log_format: LogFormatOption = LogFormat.CONSOLE,
    log_level: LogLevelOption = LogLevel.INFO,
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
        settings_configmap=named_object(settings_configmap),
        node_pool=node_pool,
        leader_elect=leader_elect,
        lease=named_object(lease),
        lease_times=_times(lease_duration, lease_renew_deadline, lease_retry_period),
        metrics_port=metrics_port or None,
        probes_port=probes_port or None,
        decisions_at=_host_and_port(decisions_address),
        pod=named_object(pod) if pod is not None else None,
    )
    ports = {"metrics": metrics_port, "probes": probes_port, "decisions": decisions_address}
    step = "Choose others with --metrics-port, --probes-port and --decisions-address; 0 or nothing turns one off."
    serve(run_scheduler(config), ports, step)
