"""``kai-py webhooks``."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated

import typer
import uvloop
import yaml

from kai_py.admission.manifests import mutating_configuration, service_client, webhook_configuration
from kai_py.api.keys import SCHEDULER_NAME
from kai_py.cli.failures import Failure
from kai_py.cli.options import Context, Kubeconfig, named_object, written
from kai_py.cli.run import LogFormat, LogLevel
from kai_py.operators.webhooks import WebhookConfig, serve_webhooks
from kai_py.telemetry.logs import configure

app = typer.Typer(add_completion=False)

_DEFAULTS = WebhookConfig()


@app.command("webhooks")
def webhooks(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Answer admission reviews here.")] = _DEFAULTS.port,
    service: Annotated[
        str, typer.Option(metavar="NAMESPACE/NAME", help="The Service in front; the certificate is for its name.")
    ] = written(_DEFAULTS.service),
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A further name or address for the certificate.", show_default=False),
    ] = None,
    secret: Annotated[
        str, typer.Option(metavar="NAMESPACE/NAME", help="The Secret that keeps the certificate; made and renewed.")
    ] = written(_DEFAULTS.secret),
    cert_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Serve with tls.crt and tls.key from here, which somebody else renews (cert-manager), and use no "
            "Secret.",
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    configuration: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The webhook configurations that are told to trust the certificate; empty: none.",
        ),
    ] = _DEFAULTS.configuration,
    settings_configmap: Annotated[
        str, typer.Option(metavar="NAMESPACE/NAME", help="The ConfigMap with the settings; watched, and checked.")
    ] = written(_DEFAULTS.settings_configmap),
    probes_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Serve the liveness probe at /healthz; 0 = do not.")
    ] = _DEFAULTS.probes_port or 0,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="Print the webhook configurations, and serve nothing.")
    ] = False,
    scheduler_name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="With --manifest: pods with this spec.schedulerName are asked about.",
            show_default=False,
        ),
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(help="Log lines for people, or one JSON object per line.")
    ] = LogFormat.CONSOLE,
    log_level: Annotated[LogLevel, typer.Option(help="The lowest level that is logged.")] = LogLevel.INFO,
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
        name, ours = configuration or _DEFAULTS.configuration, tuple(scheduler_name or (SCHEDULER_NAME,))
        client = service_client(*config.service)
        made = webhook_configuration(client, name=name, settings=config.settings_configmap, scheduler_names=ours)
        changing = mutating_configuration(client, name=name, scheduler_names=ours)
        print(yaml.safe_dump_all([made, changing], sort_keys=False), end="")
        return
    configure(log_format.value, log_level.value)
    try:
        uvloop.run(serve_webhooks(config))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        ports = f"reviews: {port}, probes: {probes_port}"
        raise Failure("a port is in use already", [ports], "Choose others with --port and --probes-port.") from error
