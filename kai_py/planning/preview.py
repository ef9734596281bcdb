"""``preview``: what would a change of settings, queues or anything else change? Two plans, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kai_py.errors import Fault, InputError, SettingsError
from kai_py.planning.answer import Plan
from kai_py.planning.edits import with_edits
from kai_py.planning.manifests import Manifest, Sourced
from kai_py.planning.objects import SETTINGS_KEY, SETTINGS_NAME
from kai_py.planning.plan import plan
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings
from kai_py.telemetry.comparison import comparison

Json = dict[str, Any]


@dataclass(frozen=True)
class Preview:
    """A change, told by what differs.

    Attributes:
        before: the plan without the change.
        after: the plan with it.
        warnings: sentences about the change.
    """

    before: Plan
    after: Plan
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> Json:
        """The JSON document; its lists are those of :func:`kai_py.telemetry.comparison.comparison`."""
        before, after = self.before.to_dict(), self.after.to_dict()
        new = [one for one in after["warnings"] if one not in before["warnings"]]
        return {
            "apiVersion": "kai-py/v1",
            "kind": "Preview",
            **comparison(before, after),
            "cycles": {"before": len(before["cycles"]), "after": len(after["cycles"])},
            "warnings": [*self.warnings, *new],
        }


def preview(objects: Iterable[Sourced], changes: Iterable[Sourced], cycles: int = 3, now: str | None = None) -> Preview:
    """Run the same cycles with and without a change.

    Args:
        objects: the cluster as it is.
        changes: objects that are merged in, as ``plan`` does it; a document without apiVersion and kind is a new
            settings document, which replaces the one in force.
        cycles: at most so many.
        now: RFC 3339; by default the present.

    Raises:
        InputError: with all faults of the change, those of the settings included.
    """
    objects = list(objects)
    moment = now or datetime.now(UTC).isoformat()
    settings, edits, faults = _sorted(changes)
    before = plan(objects, cycles, now=moment)
    try:
        after = plan(with_edits(objects, edits), cycles, settings, moment)
    except InputError as error:
        raise InputError([*faults, *error.faults]) from error
    if faults:
        raise InputError(faults)
    return Preview(before, after, tuple(_needs_restart(objects, [*edits, *([settings] if settings else [])])))


def _sorted(changes: Iterable[Sourced]) -> tuple[Sourced | None, list[Sourced], list[Fault]]:
    """The settings document, everything else, and what is wrong with there being several documents."""
    settings: Sourced | None = None
    edits: list[Sourced] = []
    faults: list[Fault] = []
    for one in changes:
        if not _is_settings(one.manifest):
            edits.append(one)
        elif settings is None:
            settings = one
        else:
            faults.append(one.place(Fault("", "", f"is a second settings document, beside {settings.source}")))
    return settings, edits, faults


def _is_settings(manifest: Manifest) -> bool:
    return isinstance(manifest, Mapping) and not manifest.keys() & {"apiVersion", "kind", "metadata"}


def _needs_restart(objects: Iterable[Sourced], changes: Iterable[Sourced]) -> Iterable[str]:
    """A running scheduler refuses to take over what decides which objects are its own."""
    old, new = _settings_in(objects), _settings_in(changes)
    if new is None:
        return
    old = old or Settings()
    for name, field in (("schedulerNames", "scheduler_names"), ("nodePool", "node_pool")):
        if getattr(old, field) != getattr(new, field):
            yield f"{name} cannot change while the scheduler runs: it refuses these settings until it is restarted"


def _settings_in(objects: Iterable[Sourced]) -> Settings | None:
    found: Settings | None = None
    for one in objects:
        manifest = one.manifest
        if _is_settings(manifest):
            found = load_settings(manifest)
        elif isinstance(manifest, Mapping) and manifest.get("kind") == "ConfigMap":
            text = (manifest.get("data") or {}).get(SETTINGS_KEY)
            if manifest["metadata"]["name"] == SETTINGS_NAME and isinstance(text, str):
                try:
                    found = load_settings(text)
                except SettingsError:
                    continue  # of a live cluster: the plan has warned
    return found
