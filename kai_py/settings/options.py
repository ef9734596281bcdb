"""Settings to core options."""

from __future__ import annotations

from kai_py.core.options import Action, Options, Strategy
from kai_py.settings.model import Settings


def core_options(settings: Settings) -> Options:
    """The plain numbers that tune a cycle."""
    return Options(
        actions=tuple(Action(name) for name in settings.actions.order),
        k_value=settings.fairness.k_value,
        gpu=Strategy(settings.placement.gpu),
        cpu=Strategy(settings.placement.cpu),
        weights=settings.placement.weights.model_dump(by_alias=True),
        queue_depth={Action(name): depth for name, depth in settings.actions.queue_depth.items()},
    )
