"""``kai-py webhooks``: kopf's admission handlers around the pure decisions of ``kai_py.admission``."""

from __future__ import annotations

import asyncio
import logging
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kopf
import structlog

from kai_py.admission import podgroups, pods, queues, settings, shared_gpus, topologies
from kai_py.admission.manifests import NAME
from kai_py.admission.verdict import Request
from kai_py.api.decode import without_nulls
from kai_py.errors import NotFoundError
from kai_py.kube.client import connect
from kai_py.operators.certificates import CERTIFICATE, KEY, Certificates, SecretKeeper
from kai_py.operators.gatekeeper import Decide, Gatekeeper
from kai_py.operators.handlers import configure
from kai_py.operators.kinds import PODGROUPS, QUEUES, TOPOLOGIES
from kai_py.operators.run import Everybody

_log = structlog.get_logger()


@dataclass(frozen=True)
class WebhookConfig:
    """How to serve webhooks.

    Attributes:
        kubeconfig, context: which cluster; by default the environment's, or the one that we run in.
        address, port: where to listen; an empty address is every interface.
        service: (namespace, name) of the Service in front of us; the certificate is for its names.
        hosts: further names and addresses for the certificate.
        secret: (namespace, name) of the Secret that keeps the certificate.
        cert_dir: a folder with ``tls.crt`` and ``tls.key`` that somebody else renews; then no Secret is used.
        configuration: the ValidatingWebhookConfiguration and the MutatingWebhookConfiguration of this name get our
            ``caBundle``; empty = none.
        settings_configmap: (namespace, name); read again every few seconds.
        probes_port: None or 0 = none.
    """

    kubeconfig: str | None = None
    context: str | None = None
    address: str = ""
    port: int = 9443
    service: tuple[str, str] = ("kai-scheduler", "kai-py-webhooks")
    hosts: tuple[str, ...] = ()
    secret: tuple[str, str] = ("kai-scheduler", "kai-py-webhooks")
    cert_dir: Path | None = None
    configuration: str = NAME
    settings_configmap: tuple[str, str] = ("kai-scheduler", "kai-py-settings")
    probes_port: int | None = 8081

    @property
    def all_hosts(self) -> list[str]:
        """Names and addresses that the certificate is for."""
        namespace, name = self.service
        return [f"{name}.{namespace}.svc", *self.hosts]


async def serve_webhooks(
    config: WebhookConfig, *, stop: asyncio.Event | None = None, ready: asyncio.Event | None = None
) -> None:
    """Answer admission reviews until told to stop, or by signal.

    Args:
        config: how.
        stop: set it to stop.
        ready: set when questions are answered.

    Raises:
        ApiError: the API server does not let us read what we need, or write the certificate.
        InputError: no certificate can be made.
    """
    with tempfile.TemporaryDirectory(prefix="kai-py-") as own:
        folder = config.cert_dir or Path(own)
        async with await connect(config.kubeconfig, config.context) as client:
            gatekeeper = Gatekeeper(client, config.settings_configmap)
            await gatekeeper.fill()
            jobs = [
                asyncio.create_task(gatekeeper.reviews.run(), name="access reviews"),
                asyncio.create_task(gatekeeper.follow_settings(), name="settings"),
            ]
            if config.cert_dir is None:
                keeper = SecretKeeper(client, config.secret, config.all_hosts)
                certificates = Certificates(client, keeper, config.configuration, folder)
                await _first_look(certificates)
                jobs.append(asyncio.create_task(certificates.run(), name="certificates"))
            try:
                tasks = await kopf.spawn_tasks(
                    registry=registry(gatekeeper, config, folder),
                    standalone=True,
                    clusterwide=True,
                    liveness_endpoint=f"http://0.0.0.0:{config.probes_port}/healthz" if config.probes_port else None,
                    ready_flag=ready,
                    stop_flag=stop,
                )
                await kopf.run_tasks(tasks, ignored=Everybody())
            finally:
                for job in jobs:
                    job.cancel()
                await asyncio.gather(*jobs, return_exceptions=True)


async def _first_look(certificates: Certificates) -> None:
    """A webhook configuration that is not there yet is waited for while we serve."""
    try:
        await certificates.look()
    except NotFoundError as error:
        _log.warning("nobody will ask until the webhook configuration is there", error=str(error))


def registry(gatekeeper: Gatekeeper, config: WebhookConfig, folder: Path) -> kopf.OperatorRegistry:
    """All handlers: what keeps our knowledge up to date, and one webhook for each kind."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.startup(registry=handlers, errors=kopf.ErrorsMode.PERMANENT)
    def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        # A refusal is our work and no error: it is logged below, in one line of our own.
        logging.getLogger("kopf.objects").setLevel(logging.CRITICAL)
        settings.admission.server = kopf.WebhookServer(
            addr=config.address or None,
            port=config.port,
            certfile=folder / CERTIFICATE,
            pkeyfile=folder / KEY,
            file_check_interval=10.0,
        )

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(**await gatekeeper.client.credentials())

    @kopf.on.event(QUEUES.group, QUEUES.version, QUEUES.plural, registry=handlers)
    def queue(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  # kopf's name
        if type == "DELETED":
            gatekeeper.known.queues.drop(body.metadata.name or "")
        else:
            gatekeeper.put_queue(dict(body))

    @kopf.on.event("", "v1", "namespaces", registry=handlers)
    def namespace(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  # kopf's name
        if type == "DELETED":
            gatekeeper.known.namespaces.drop(body.metadata.name or "")
        else:
            gatekeeper.put_namespace(dict(body))

    _webhook(handlers, gatekeeper, QUEUES.group, QUEUES.version, QUEUES.plural, queues.decide)
    _webhook(handlers, gatekeeper, PODGROUPS.group, PODGROUPS.version, PODGROUPS.plural, podgroups.decide)
    _webhook(handlers, gatekeeper, TOPOLOGIES.group, TOPOLOGIES.version, TOPOLOGIES.plural, topologies.decide)
    _webhook(handlers, gatekeeper, "", "v1", "pods", pods.decide)
    _webhook(handlers, gatekeeper, "", "v1", "configmaps", settings.decide, own="settings")
    _preparation(handlers, gatekeeper)
    return handlers


def _webhook(
    handlers: kopf.OperatorRegistry,
    gatekeeper: Gatekeeper,
    group: str,
    version: str,
    plural: str,
    decide: Decide,
    *,
    own: str = "",
) -> None:
    @kopf.on.validate(group, version, plural, id=own or plural, registry=handlers)
    async def review(namespace: str | None, name: str, warnings: list[str], **more: Any) -> None:
        if plural == "configmaps" and (namespace, name) != gatekeeper.configmap:
            return
        request = Request(more["operation"] or "CREATE", _plain(more["new"]), _plain(more["old"]), namespace or "")
        verdict = await gatekeeper.answer(decide, request)
        warnings += verdict.warnings
        if not verdict.allowed:
            _log.info("refused", kind=plural, namespace=request.namespace, name=request.name, why=verdict.refusal)
            raise kopf.AdmissionError(verdict.refusal, code=verdict.code)


def _preparation(handlers: kopf.OperatorRegistry, gatekeeper: Gatekeeper) -> None:
    @kopf.on.mutate("", "v1", "pods", id="shared-gpus", registry=handlers)
    async def prepare(namespace: str | None, patch: kopf.Patch, warnings: list[str], **more: Any) -> None:
        request = Request(more["operation"] or "CREATE", _plain(more["new"]), {}, namespace or "")
        verdict = await gatekeeper.answer(shared_gpus.decide, request)
        warnings += verdict.warnings
        if not verdict.allowed:
            _log.info("refused", kind="pods", namespace=request.namespace, name=request.name, why=verdict.refusal)
            raise kopf.AdmissionError(verdict.refusal, code=verdict.code)
        token = secrets.token_hex(4)
        if (changed := gatekeeper.prepared(request, token)) is not None:
            patch.update(changed)


def _plain(body: Any) -> dict[str, Any]:
    """An object as it was sent, without the nulls that mean nothing; empty for none."""
    found = without_nulls(dict(body)) if body is not None else {}
    return found if isinstance(found, dict) else {}
