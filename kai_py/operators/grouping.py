"""The rules by which pods are grouped, as settings and the ConfigMap with default priorities have them now."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from kai_py.api.meta import PartialObject
from kai_py.api.pod import Pod
from kai_py.cluster.store import Store
from kai_py.errors import NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.operators.kinds import CONFIG_MAPS
from kai_py.operators.settings import LiveSettings
from kai_py.podgrouper.defaults import NO_DEFAULTS, read_defaults
from kai_py.podgrouper.grouping import Grouper
from kai_py.podgrouper.kinds.registry import Registry
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.options import Options
from kai_py.telemetry.events import EventText, Regarding

_log = structlog.get_logger()

#: So many warnings about grouping are remembered, so as not to be repeated.
REMEMBERED_WARNINGS: Final = 4096


class LiveGrouping:
    """Groups pods for a store, by rules that may change while we run.

    Args:
        settings: those in force.
        leading: whether we may tell users anything.
        tell: takes an Event.
    """

    def __init__(
        self, settings: LiveSettings, *, leading: Callable[[], bool], tell: Callable[[EventText], None]
    ) -> None:
        self._settings = settings
        self._leading = leading
        self._tell = tell
        self._defaults = NO_DEFAULTS
        self._warned: set[str] = set()
        self._grouper = Grouper(self._options)

    def serve(self, store: Store) -> None:
        """Look around in a store from now on."""
        self._grouper = Grouper(
            self._options,
            priority_classes=store.priorities,
            surroundings=store.around,
            expects=store.owners.kinds.expects,
        )

    def __call__(self, pod: Pod, owners: Mapping[str, PartialObject]) -> Membership | None:
        """Tell which podgroup a pod belongs to; what is passed over is told once."""
        membership = self._grouper(pod, owners)
        for text in membership.warnings if membership is not None else ():
            self._warn(pod, text)
        return membership

    @property
    def registry(self) -> Registry:
        """The rules in force."""
        return self._grouper.registry

    def configure(self) -> bool:
        """Take over new settings and defaults; tells whether pods may be grouped in another way now."""
        if self._settings.current.pod_groups.default_priorities_config_map is None:
            self._defaults = NO_DEFAULTS
        return self._grouper.configure(self._options, self._defaults)

    async def read_defaults(self, client: ApiClient) -> bool:
        """Read the ConfigMap with default priorities, if the settings name one; tells as :meth:`configure` does.

        Raises:
            ApiError: the server does not answer, or refuses.
        """
        where = self._settings.current.pod_groups.default_priorities_config_map
        if where is None:
            return False
        found: Mapping[str, Any] = {}
        with contextlib.suppress(NotFoundError):
            found = await client.get_object(CONFIG_MAPS.path(where.namespace, where.name))
        return self.take_defaults(found.get("data") or {})

    def take_defaults(self, data: Mapping[str, Any]) -> bool:
        """The ConfigMap with default priorities was read; tells as :meth:`configure` does."""
        defaults, wrong = read_defaults(data)
        if defaults == self._defaults:
            return False
        self._defaults = defaults
        for text in wrong:
            _log.warning("default priorities passed over", why=text)
        return self.configure()

    @property
    def _options(self) -> Options:
        return Options.of(self._settings.current.pod_groups)

    def _warn(self, pod: Pod, text: str) -> None:
        if text in self._warned or not self._leading():
            return
        if len(self._warned) >= REMEMBERED_WARNINGS:
            self._warned.clear()
        self._warned.add(text)
        meta = pod.metadata
        _log.warning("passed over when grouping", pod="/".join(meta.key), why=text)
        about = Regarding("v1", "Pod", meta.namespace, meta.name, meta.uid)
        self._tell(EventText(about, "Warning", "PassedOver", "Grouping", text))
