"""What follows when settings, or the default priorities that they name, change while we run."""

from __future__ import annotations

from collections.abc import Callable

from kai_py.api.configmap import ConfigMap
from kai_py.api.meta import NO_STRINGS
from kai_py.cluster.shares.ways import Ways
from kai_py.cluster.store import Store
from kai_py.kube.client import ApiClient
from kai_py.operators.documents import ConfigMapWatch, Followed, Spawn, settings_event
from kai_py.operators.grouping import LiveGrouping
from kai_py.operators.own_pod import OwnPod
from kai_py.operators.settings import KEY, LiveSettings
from kai_py.operators.shadow import SHADOW_KEY, Shadow
from kai_py.settings.model import Settings
from kai_py.telemetry.events import EventText, Regarding


class Reconfiguration:
    """Follows both ConfigMaps, and has the memory and the rules of grouping do as they say.

    Args:
        client: the API server.
        settings: those in force.
        store: does as they say.
        grouping: the rules by which pods are grouped.
        document: (namespace, name) of the ConfigMap with the settings, to be followed; None if they are in a file.
        shadow: tries out the settings beside those in force; None = they are not looked at.
        own_pod: says whether the settings are in force; None = we run in no pod.
        rules_changed: called when other rules of grouping are in force.
        tell: takes an Event.
        spawn: starts a task that is looked after.
        wake: called when a cycle may decide otherwise than before.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        settings: LiveSettings,
        store: Store,
        grouping: LiveGrouping,
        *,
        document: tuple[str, str] | None,
        shadow: Shadow | None,
        own_pod: OwnPod | None,
        rules_changed: Callable[[], None],
        tell: Callable[[EventText], None],
        spawn: Spawn,
        wake: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._settings = settings
        self._store = store
        self._grouping = grouping
        self._document = document
        self._shadow = shadow
        self._own_pod = own_pod
        self._rules_changed = rules_changed
        self._tell = tell
        self._spawn = spawn
        self._wake = wake
        self._clock = clock
        self._defaults = Followed(client, spawn, self._defaults_read)

    def follow(self) -> None:
        """Watch the ConfigMaps from now on."""
        self._follow_defaults()
        if self._document is not None:
            watch = ConfigMapWatch(self._client, *self._document, self._document_read)
            self._spawn(watch.run(), "watch settings")
            if self._own_pod is not None:
                self._spawn(self._own_pod.run(), "own condition")

    def apply(self) -> None:
        """What the memory does as the settings say, is as they say now."""
        store, now, current = self._store, self._clock(), self._settings.current
        store.accounting = self._settings.accounting
        ways = Ways.of(current)
        store.reservations.enabled = ways.offers("reservation")
        store.share_gpus(ways, now)
        store.heed_images(wanted=current.placement.weights.image_locality > 0, now=now)
        store.spread_by_default(current.placement.default_topology_spread, now)
        store.rollouts.enable(wanted=current.pod_groups.rollout_surge)
        store.access.review(wanted=current.queues.authorization == "subjectAccessReview")

    def regroup(self) -> None:
        """Group pods by the rules that are in force now."""
        self._rules_changed()
        self._store.lineages.regroup(self._clock())
        self._wake()

    def _document_read(self, found: ConfigMap | None) -> None:
        """The ConfigMap with the settings is another one than before, or gone: then all have their defaults."""
        namespace, name = self._document or ("", "")
        data, uid = (found.data, found.metadata.uid) if found is not None else (NO_STRINGS, "")
        about = Regarding("v1", "ConfigMap", namespace, name, uid)
        if self._shadow is not None:
            self._shadow.take(data.get(SHADOW_KEY, ""), about)
        if self._settings.load(data.get(KEY, ""), f"ConfigMap {namespace}/{name}", accept=self._in_force):
            self._tell(settings_event(about, self._settings.faults))
        if self._own_pod is not None:
            self._own_pod.say(self._settings.faults)

    def _in_force(self, _: Settings) -> None:
        """New settings are in force."""
        self._follow_defaults()
        if self._grouping.configure():
            self.regroup()
        self.apply()
        self._wake()

    def _follow_defaults(self) -> None:
        self._defaults.follow(self._settings.current.pod_groups.default_priorities_config_map)

    def _defaults_read(self, found: ConfigMap | None) -> None:
        """The ConfigMap with default priorities was read, or is not there."""
        if self._grouping.take_defaults(found.data if found is not None else {}):
            self.regroup()
