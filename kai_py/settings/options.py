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
        staleness_grace=settings.gangs.staleness_grace_period.seconds,
        reclaim_saturation=settings.fairness.reclaim_saturation,
        consolidation_limit=settings.actions.consolidation_limit,
        consolidation_pause=settings.actions.consolidation_pause.seconds,
        restart_seconds=settings.eviction.restart_time.seconds,
        preempt_min_runtime=settings.fairness.preempt_min_runtime.seconds,
        reclaim_min_runtime=settings.fairness.reclaim_min_runtime.seconds,
        reclaim_resolution=settings.fairness.reclaim_min_runtime_resolution,
        sorts_per_namespace=settings.actions.sorts_per_namespace,
        queue_depth={Action(name): depth for name, depth in settings.actions.queue_depth.items()},
    )
