"""What all groups of settings are made of."""

from __future__ import annotations

from pydantic import ConfigDict

from kai_py.api.duration import Duration
from kai_py.api.model import Model


def unique(values: tuple[str, ...]) -> tuple[str, ...]:
    """Validates a list in which nothing stands twice."""
    for row, value in enumerate(values):
        if value in values[:row]:
            raise ValueError(f"{value!r} is listed twice")
    return values


def not_negative(duration: Duration) -> Duration:
    """Validates a duration that is not below zero."""
    if duration.nanoseconds < 0:
        raise ValueError(f"{duration} is negative")
    return duration


class SettingsGroup(Model):
    """Base of all groups: a key that does not exist is a mistake, and is refused."""

    model_config = ConfigDict(extra="forbid")
