"""``kai-py webhooks``: the pure decisions of ``kai_py.admission``, served; kopf keeps up to date what they know."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import kopf
import structlog

from kai_py.admission import podgroups, pods, queues, settings, shared_gpus, topologies
from kai_py.admission.manifests import NAME
from kai_py.admission.verdict import LET_IN, Request, Verdict
from kai_py.errors import NotFoundError
from kai_py.kube.client import connect
from kai_py.operators.certificates import Certificates, SecretKeeper
from kai_py.operators.gatekeeper import Decide, Gatekeeper
from kai_py.operators.handlers import configure
from kai_py.operators.kinds import QUEUES
from kai_py.operators.review_server import Answer, ReviewServer, read_pod
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
                async with review_server(gatekeeper).serving(config.address, config.port, folder):
                    tasks = await kopf.spawn_tasks(
                        registry=registry(gatekeeper),
                        standalone=True,
                        clusterwide=True,
                        liveness_endpoint=f"http://0.0.0.0:{config.probes_port}/healthz"
                        if config.probes_port
                        else None,
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


def registry(gatekeeper: Gatekeeper) -> kopf.OperatorRegistry:
    """Handlers that keep our knowledge up to date."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.startup(registry=handlers, errors=kopf.ErrorsMode.PERMANENT)
    def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(**await gatekeeper.client.credentials())

    @kopf.on.event(QUEUES.group, QUEUES.version, QUEUES.plural, registry=handlers)
    async def queue(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  # kopf's name
        if type == "DELETED":
            gatekeeper.drop_queue(body.metadata.name or "")
        else:
            gatekeeper.put_queue(dict(body))

    @kopf.on.event("", "v1", "namespaces", registry=handlers)
    async def namespace(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  # kopf's name
        if type == "DELETED":
            gatekeeper.known.namespaces.drop(body.metadata.name or "")
        else:
            gatekeeper.put_namespace(dict(body))

    return handlers


def review_server(gatekeeper: Gatekeeper) -> ReviewServer:
    """One path for each kind, as the webhook configurations name them, and one for pods that share GPUs."""
    deciders: dict[str, Decide] = {
        "queues": queues.decide,
        "podgroups": podgroups.decide,
        "topologies": topologies.decide,
        "pods": pods.decide,
        "settings": settings.decide,
    }

    def answering(path: str, decide: Decide) -> Answer:
        async def answer(request: Request, name: str) -> Verdict:
            if path == "settings" and (request.namespace, name) != gatekeeper.configmap:
                return LET_IN
            verdict = await gatekeeper.answer(decide, request)
            if not verdict.allowed:
                _log.info("refused", kind=path, namespace=request.namespace, name=name, why=verdict.refusal)
            return verdict

        return answer

    async def preparing(request: Request, name: str) -> Verdict:
        verdict = await answering("pods", shared_gpus.decide)(request, name)
        changed = gatekeeper.prepared(request, secrets.token_hex(4)) if verdict.allowed else None
        return verdict if changed is None else replace(verdict, changes=shared_gpus.steps(changed))

    answers = {path: answering(path, decide) for path, decide in deciders.items()}
    answers["shared-gpus"] = preparing
    return ReviewServer(answers, {"pods": read_pod})
