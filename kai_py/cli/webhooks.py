"""``kai-py webhooks``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from kai_py.admission.manifests import mutating_configuration, service_client, webhook_configuration
from kai_py.api.keys import SCHEDULER_NAME
from kai_py.cli.options import Context, Kubeconfig, named_object, written
from kai_py.cli.serving import LogFormat, LogFormatOption, LogLevel, LogLevelOption, ProbesPort, serve
from kai_py.operators.webhooks import WebhookConfig, serve_webhooks
from kai_py.telemetry.logs import configure

app = typer.Typer(add_completion=False)

_DEFAULTS = WebhookConfig()

_Port = Annotated[int, typer.Option(min=1, max=65535, help="Answer admission reviews here.")]
_Service = Annotated[
    str, typer.Option(metavar="NAMESPACE/NAME", help="The Service in front; the certificate is for its name.")
]
_Host = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A further name or address for the certificate.", show_default=False),
]
_Secret = Annotated[
    str, typer.Option(metavar="NAMESPACE/NAME", help="The Secret that keeps the certificate; made and renewed.")
]
_CertDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Serve with tls.crt and tls.key from here, which somebody else renews (cert-manager), and use no Secret.",
        file_okay=False,
        show_default=False,
    ),
]
_Configuration = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="The webhook configurations that are told to trust the certificate; empty: none.",
    ),
]
_SettingsConfigMap = Annotated[
    str, typer.Option(metavar="NAMESPACE/NAME", help="The ConfigMap with the settings; watched, and checked.")
]
_Manifest = Annotated[bool, typer.Option("--manifest", help="Print the webhook configurations, and serve nothing.")]
_SchedulerNames = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="With --manifest: pods with this spec.schedulerName are asked about.",
        show_default=False,
    ),
]


@app.command("webhooks")
def webhooks(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    port: _Port = _DEFAULTS.port,
    service: _Service = written(_DEFAULTS.service),
    host: _Host = None,
    secret: _Secret = written(_DEFAULTS.secret),
    cert_dir: _CertDir = None,
    configuration: _Configuration = _DEFAULTS.configuration,
    settings_configmap: _SettingsConfigMap = written(_DEFAULTS.settings_configmap),
    probes_port: ProbesPort = _DEFAULTS.probes_port or 0,
    manifest: _Manifest = False,
    scheduler_name: _SchedulerNames = None,
    log_format: LogFormatOption = LogFormat.CONSOLE,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """Check queues, podgroups, pods and settings before they are let in, and prepare pods that share GPUs.

    While nobody answers, everything is let in: the scheduler looks again, and what it cannot use waits and says why.

    For instance:

    kai-py webhooks --manifest | kubectl apply -f -

    kai-py webhooks --service kai-scheduler/kai-py-webhooks
    """
    config = WebhookConfig(
        kubeconfig=kubeconfig,
        context=context,
        port=port,
        service=named_object(service),
        hosts=tuple(host or ()),
        secret=named_object(secret),
        cert_dir=cert_dir,
        configuration=configuration,
        settings_configmap=named_object(settings_configmap),
        probes_port=probes_port or None,
    )
    if manifest:
        print(_manifest_of(config, tuple(scheduler_name or (SCHEDULER_NAME,))), end="")
        return
    configure(log_format.value, log_level.value)
    ports = {"reviews": port, "probes": probes_port}
    serve(serve_webhooks(config), ports, "Choose others with --port and --probes-port.")


def _manifest_of(config: WebhookConfig, scheduler_names: tuple[str, ...]) -> str:
    """Both webhook configurations, as YAML."""
    client, name = service_client(*config.service), config.configuration or _DEFAULTS.configuration
    checking = webhook_configuration(
        client, name=name, settings=config.settings_configmap, scheduler_names=scheduler_names
    )
    changing = mutating_configuration(client, name=name, scheduler_names=scheduler_names)
    return yaml.safe_dump_all([checking, changing], sort_keys=False)
