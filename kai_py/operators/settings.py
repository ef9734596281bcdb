"""Settings that change while we run: the last good ones hold, faults are told once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from kai_py.cluster.encode.axis import Accounting
from kai_py.core.options import Options
from kai_py.errors import Fault, SettingsError
from kai_py.settings.load import load_settings
from kai_py.settings.model import NodePool, Settings
from kai_py.settings.options import core_options
from kai_py.telemetry.metrics import Metrics

_log = structlog.get_logger()

KEY: Final = "settings.yaml"
#: What decides which objects are ours, and so is fixed for the life of the process.
FIXED: Final = ("schedulerNames", "nodePool")


class LiveSettings:
    """The settings in force.

    Args:
        first: those to start with.
        scheduler_name: given on the command line; wins over the document.
        node_pool: the same.
        metrics: counts the faults.

    Attributes:
        faults: of the document that was read last.
        accepted: the last text that had none; None while none was read.
    """

    def __init__(
        self, first: Settings, metrics: Metrics, *, scheduler_name: str | None = None, node_pool: str | None = None
    ) -> None:
        self._scheduler_name = scheduler_name
        self._node_pool = node_pool
        self._metrics = metrics
        self.faults: tuple[Fault, ...] = ()
        self.accepted: str | None = None
        self.current = self._overridden(first)
        self.options: Options = core_options(self.current)
        self._in_force()

    @property
    def accounting(self) -> Accounting:
        """What queues are charged for."""
        return Accounting.of(self.current)

    def load(self, document: str | Mapping[str, Any], where: str, *, accept: Callable[[Settings], None]) -> bool:
        """Take over a new document; tells whether its faults, or their absence, are news.

        What decides which objects are ours (scheduler names, node pool) is fixed for the life of the process: a change
        is a fault that says so.
        """
        before = self.faults
        try:
            settings = self._overridden(load_settings(document, where=where))
            self._refuse_moves(settings, where)
        except SettingsError as error:
            self.faults = error.faults
            for fault in error.faults:
                _log.error("settings refused", where=fault.where, field=fault.field, why=fault.message)
        else:
            self.faults = ()
            self.accepted = document if isinstance(document, str) else None
            if settings != self.current:
                self.current, self.options = settings, core_options(settings)
                self._in_force()
                accept(settings)
                _log.info("settings in force", where=where)
        self._metrics.settings_faults.set(len(self.faults))
        return self.faults != before

    def _in_force(self) -> None:
        """Let metrics name the settings, so that one sees whether all replicas have the same."""
        digest = hashlib.sha256(self.current.model_dump_json().encode()).hexdigest()[:12]
        self._metrics.settings_in_force(digest, time.time())

    def _refuse_moves(self, settings: Settings, where: str) -> None:
        faults = [
            Fault(where, field, "cannot change while the scheduler runs: restart it")
            for field, same in (
                ("schedulerNames", settings.scheduler_names == self.current.scheduler_names),
                ("nodePool", settings.node_pool == self.current.node_pool),
            )
            if not same
        ]
        if faults:
            raise SettingsError(faults)

    def _overridden(self, settings: Settings) -> Settings:
        update: dict[str, object] = {}
        if self._scheduler_name:
            update["scheduler_names"] = (self._scheduler_name,)
        if self._node_pool is not None:
            update["node_pool"] = (settings.node_pool or NodePool()).model_copy(update={"value": self._node_pool})
        return settings.model_copy(update=update)
