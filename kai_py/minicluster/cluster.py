"""A cluster in one process, as an async context manager."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from .controllers import BUILTIN_CONTROLLERS
from .kinds import CRDS, NAMESPACES, PRIORITY_CLASSES
from .rules.priority import BUILTIN_CLASSES
from .serving.faults import FaultInjector
from .serving.server import ApiServer
from .storage import Storage

_log = logging.getLogger(__name__)

Worker = Callable[[Storage], Awaitable[None]]
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_NAME = "kai-py-mini"


class MiniCluster:
    """An API server with its storage, controllers and workers.

    ::

        async with MiniCluster() as cluster:
            cluster.write_kubeconfig(path)
            cluster.storage.create("pods", {...})

    Attributes:
        storage: direct access for programs in this process.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        token: str | None = None,
        crds: Path | Sequence[Path] = (),
        workers: Sequence[Worker] = (),
        certificate: Path | None = None,
        key: Path | None = None,
        history: int = 20_000,
        gates: AbstractSet[str] = frozenset(),
    ) -> None:
        """Prepare; nothing runs before ``async with``.

        Args:
            port: to listen on; 0 takes a free one.
            host: address to listen on.
            token: if given, requests need it as a bearer token.
            crds: files or folders of CustomResourceDefinitions to install at the start.
            workers: coroutine functions that get the storage and run until the cluster ends.
            certificate: PEM file; with ``key``, the API is served over HTTPS. Clients are told to trust exactly it.
            key: PEM file of the certificate's private key.
            history: how many changes of each kind a watch can resume over.
            gates: feature gates to switch on that are off by default: ``DRANodeAllocatableResources``;
                ``GenericWorkload``, with which PodGroups are served; ``DRAWorkloadResourceClaims``, which needs it.

        Raises:
            ValueError: a gate is not known, or needs another one.
        """
        self.storage = Storage(history=history, gates=gates)
        self._certificate = certificate
        self._server = ApiServer(self.storage, host=host, port=port, token=token, tls=_tls(certificate, key))
        self._token = token
        self._workers = (*BUILTIN_CONTROLLERS, *workers)
        self._tasks: list[asyncio.Task[None]] = []
        _install(self.storage)
        for path in [crds] if isinstance(crds, Path) else crds:
            self.install_crds(path)

    async def __aenter__(self) -> Self:
        await self._server.start()
        self._tasks = [asyncio.create_task(_run(worker, self.storage)) for worker in self._workers]
        await asyncio.sleep(0)  # every worker has its first turn before anybody uses the cluster
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.stop()
        for result in results:
            if isinstance(result, Exception):
                raise result

    @property
    def url(self) -> str:
        """Where the API is served."""
        scheme = "https" if self._certificate else "http"
        return f"{scheme}://{self._server.host}:{self._server.port}"

    @property
    def faults(self) -> FaultInjector:
        """What shall go wrong."""
        return self._server.faults

    def kubeconfig(self) -> dict[str, Any]:
        """A kubeconfig for this cluster."""
        cluster = {"server": self.url}
        if self._certificate is not None:
            cluster["certificate-authority"] = str(self._certificate.resolve())
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": _NAME, "cluster": cluster}],
            "users": [{"name": _NAME, "user": {"token": self._token} if self._token else {}}],
            "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME, "namespace": "default"}}],
            "current-context": _NAME,
        }

    def write_kubeconfig(self, path: Path) -> None:
        """Write the kubeconfig, readable by its owner only."""
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(self.kubeconfig(), sort_keys=False), encoding="utf-8")

    def install_crds(self, path: Path) -> None:
        """Install the CustomResourceDefinitions of a YAML file, or of all YAML files of a folder."""
        files = sorted(file for file in path.glob("*") if file.suffix in (".yaml", ".yml")) if path.is_dir() else [path]
        for file in files:
            for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
                if document and document.get("kind") == "CustomResourceDefinition":
                    self.storage.create(CRDS.key, document)

    def run_forever(self) -> None:
        """Serve until SIGINT or SIGTERM; for command lines."""
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._until_signal())

    async def _until_signal(self) -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        if sys.platform != "win32":  # loops have no signal handlers there, and Ctrl-C ends the runner by itself
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stopped.set)
        async with self:
            await stopped.wait()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop's where it is installed (there is none for Windows), else asyncio's own."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def _run(worker: Worker, storage: Storage) -> None:
    try:
        await worker(storage)
    except Exception:
        _log.exception("minicluster: a worker has failed")
        raise


def _install(storage: Storage) -> None:
    """What every cluster has from the start."""
    for name in _NAMESPACES:
        storage.create(NAMESPACES.key, {"metadata": {"name": name}})
    for name, value in BUILTIN_CLASSES.items():
        description = "Used for system critical pods that must not be moved from their current node."
        storage.create(PRIORITY_CLASSES.key, {"metadata": {"name": name}, "value": value, "description": description})
