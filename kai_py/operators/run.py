"""``kai-py run``: from a configuration to a running scheduler, and back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kopf
import structlog
import yaml
from prometheus_client import start_http_server

from kai_py.api.configmap import ConfigMap
from kai_py.api.decode import decode
from kai_py.errors import (
    ApiError,
    Fault,
    ForbiddenError,
    InputError,
    MalformedObjectError,
    NotFoundError,
    SettingsError,
)
from kai_py.kube.client import ApiClient, connect
from kai_py.kube.election import Leadership, LeaseTimes
from kai_py.kube.reviews import Reviews
from kai_py.operators.decision_server import serving
from kai_py.operators.garbage import walk_seldom
from kai_py.operators.handlers import registry
from kai_py.operators.kinds import CONFIG_MAPS
from kai_py.operators.last_settings import read_last
from kai_py.operators.parts import Parts
from kai_py.operators.settings import FIXED, KEY, LiveSettings
from kai_py.operators.shadow import previewer
from kai_py.operators.shell import Shell
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings
from kai_py.telemetry.metrics import Metrics

_log = structlog.get_logger()

#: Pause before the settings are asked for again; seconds.
RETRY: Final = 1.0
#: A crashed leader is replaced within ``duration`` and a little more than one ``retry``. What shorter times cost:
#: docs/survival.md.
LEASE_TIMES: Final = LeaseTimes(duration=3.0, renew_deadline=2.0, retry=0.5)


@dataclass(frozen=True)
class RunConfig:
    """How to run.

    Attributes:
        kubeconfig, context: which cluster; by default the environment's, or the one that we run in.
        scheduler_name: wins over the settings' ``schedulerNames``.
        settings_file: settings from a file instead of from the ConfigMap; read once.
        settings_configmap: (namespace, name); watched. Usage is kept in the same namespace.
        node_pool: wins over the settings' ``nodePool.value``.
        leader_elect: whether to wait for a lease before deciding.
        lease: (namespace, name) of the Lease.
        lease_times: how soon others take over, and how soon we stop; see there.
        metrics_port, probes_port: None or 0 = none.
        decisions_at: host and port of the decision log; None = it is not served.
        identity: unique among replicas; by default the host's name and a random part.
        pod: (namespace, name) of the pod that we run in, which gets a condition about the settings; None = in none.
    """

    kubeconfig: str | None = None
    context: str | None = None
    scheduler_name: str | None = None
    settings_file: Path | None = None
    settings_configmap: tuple[str, str] = ("kai-scheduler", "kai-py-settings")
    node_pool: str | None = None
    leader_elect: bool = True
    lease: tuple[str, str] = ("kai-scheduler", "kai-py")
    lease_times: LeaseTimes = LEASE_TIMES
    metrics_port: int | None = 8080
    probes_port: int | None = 8081
    decisions_at: tuple[str, int] | None = ("127.0.0.1", 8082)
    identity: str | None = None
    pod: tuple[str, str] | None = None


async def run_scheduler(
    config: RunConfig, *, stop: asyncio.Event | None = None, ready: asyncio.Event | None = None
) -> None:
    """Schedule until told to stop, or by signal.

    Args:
        config: how.
        stop: set it to stop.
        ready: set when the memory is filled and cycles run (on a standby: would run).

    Raises:
        InputError: the configuration or the settings file cannot be used, or the ConfigMap does not say which pods are
            ours.
    """
    walk_seldom()
    metrics = Metrics(process=True)
    stop = stop or asyncio.Event()
    from_file = _settings_of(config.settings_file) if config.settings_file is not None else None
    async with await connect(config.kubeconfig, config.context, observer=metrics) as client:
        first = from_file or await _settings_in(client, config.settings_configmap, stop)
        settings = LiveSettings(first, metrics, scheduler_name=config.scheduler_name, node_pool=config.node_pool)
        shell = _shell(client, settings, metrics, config)
        if config.metrics_port:
            server, thread = start_http_server(config.metrics_port, registry=metrics.registry)
        try:
            async with contextlib.AsyncExitStack() as stack:
                if config.decisions_at is not None:
                    server_of = serving(shell.decisions, Reviews(client), config.decisions_at, shell.leading)
                    await stack.enter_async_context(server_of)
                await _operate(shell, config, stop, ready or asyncio.Event())
        finally:
            if config.metrics_port:
                server.shutdown()
                server.server_close()
                thread.join()


def _settings_of(file: Path) -> Settings:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError([Fault(str(file), "", error.strerror or str(error))]) from error
    return load_settings(text, where=str(file))


async def _settings_in(client: ApiClient, place: tuple[str, str], stop: asyncio.Event) -> Settings:
    """The settings to begin with; defaults where there are none.

    Raises:
        SettingsError: they do not even say which pods are ours.
    """
    while not stop.is_set():
        try:
            found = decode(ConfigMap, await client.get(CONFIG_MAPS.path(*place)))
            return await _good(client, place, found.data.get(KEY, ""))
        except (NotFoundError, MalformedObjectError):
            break
        except ApiError as error:
            if isinstance(error, ForbiddenError) and error.status != 401:
                _log.warning("settings must not be read, beginning with defaults", error=str(error))
                break
            _log.warning("waiting for the API server", error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RETRY)
    return Settings()


async def _good(client: ApiClient, place: tuple[str, str], document: str) -> Settings:
    """The settings; where they have faults, the last good ones.

    Raises:
        SettingsError: nothing says which pods are ours.
        ApiError: the server does not answer.
    """
    where = f"ConfigMap {'/'.join(place)}"
    try:
        return load_settings(document, where=where)
    except SettingsError:
        if (last := await read_last(client, place[0])) is None:
            return _usable(document, where)
        _log.error("settings refused, beginning with the last good ones", where=where)
        return last


def _usable(document: str, where: str) -> Settings:
    """The settings; where they have faults, defaults but for what cannot change later.

    Under a default name we would take the pods of another scheduler. Who watches the ConfigMap tells about the faults.
    """
    try:
        return load_settings(document, where=where)
    except SettingsError as error:
        try:
            parsed = yaml.safe_load(document)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise error from None
        if not isinstance(parsed, dict):
            raise
        identity = load_settings({key: parsed[key] for key in FIXED if key in parsed}, where=where)
        _log.error("settings refused, beginning with defaults", where=where, names=identity.scheduler_names)
        return identity


def _shell(client: ApiClient, settings: LiveSettings, metrics: Metrics, config: RunConfig) -> Shell:
    identity = config.identity or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
    times = config.lease_times
    leadership = Leadership(client, *config.lease, identity, times=times) if config.leader_elect else None
    document = config.settings_configmap if config.settings_file is None else None
    parts = Parts(
        client,
        settings,
        metrics,
        leadership,
        identity=identity,
        namespace=config.settings_configmap[0],
        document=document,
        pod=config.pod,
        preview=previewer(config.kubeconfig, config.context, document) if document is not None else None,
    )
    return Shell(parts)


async def _operate(shell: Shell, config: RunConfig, stop: asyncio.Event, ready: asyncio.Event) -> None:
    """Run kopf around the shell until we are stopped or a part of it fails."""
    tasks = await kopf.spawn_tasks(
        registry=registry(),
        memo=shell,
        standalone=True,
        clusterwide=True,
        liveness_endpoint=f"http://0.0.0.0:{config.probes_port}/healthz" if config.probes_port else None,
        ready_flag=ready,
        stop_flag=stop,
    )
    operator = asyncio.create_task(kopf.run_tasks(tasks, ignored=Everybody()), name="kopf")
    failed = asyncio.ensure_future(shell.failed)
    await asyncio.wait({operator, failed}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await operator
    if failed.done():
        failed.result()
    failed.cancel()


class Everybody(Collection[asyncio.Task[Any]]):
    """Tasks that kopf must not take for its own when it stops: all but those that it was given.

    kopf cancels whatever was started in its event loop while it ran. Our own tasks are ended by the shell, and in a
    demo or a test the loop has other residents.
    """

    def __contains__(self, task: object) -> bool:
        return True

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        return iter(())

    def __len__(self) -> int:
        return 0
