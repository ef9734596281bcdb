"""Settings about how the cluster is divided between queues."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, AwareDatetime, Field, Strict, model_validator

from kai_py.api.duration import Duration
from kai_py.api.keys import AMD_GPU, NVIDIA_GPU
from kai_py.api.model import LABEL_KEY_PATTERN, MAX_LABEL_KEY
from kai_py.settings.base import SettingsGroup, unique


def _cron(text: str) -> str:
    if text:
        try:
            first = next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC), reverse=True), None)
        except CronSimError as error:
            raise ValueError(f"not a cron expression of five fields: {error}") from error
        if first is None:
            raise ValueError("no date is meant by this cron expression")
    return text


class AccountedResource(SettingsGroup):
    """An extended resource that queues account."""

    resource: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_KEY, pattern=LABEL_KEY_PATTERN)]
    """Name of the resource, as in pods' requests and nodes' allocatable, for instance `amd.com/gpu`."""
    counts_as: Literal["gpu"] | None = None
    """`gpu`: one unit is one GPU of the queues' `gpu` quota. Absent: the resource is accounted under its own name."""


def _each_once(resources: tuple[AccountedResource, ...]) -> tuple[AccountedResource, ...]:
    unique(tuple(one.resource for one in resources))
    return resources


class UsageWindow(SettingsGroup):
    """How far back usage counts."""

    type: Literal["sliding", "tumbling", "cron"] = "sliding"
    """`sliding`: the last `size`. `tumbling`: everybody starts anew every `size`, counted from `start`. `cron`:
    everybody starts anew whenever `cron` says. `sliding` by default: nobody gains by waiting for a date."""
    size: Duration = Duration.of_seconds(7 * 86_400)
    """Length of a sliding or tumbling window; more than zero. More of it evens out longer absences. A week by default,
    as in KAI."""
    start: Annotated[AwareDatetime, Strict(False)] | None = None
    """When a tumbling window began, for instance `2026-01-05T00:00:00Z`; the others follow from it. Absent: 1970."""
    cron: Annotated[str, AfterValidator(_cron)] = ""
    """When a cron window begins, five fields in UTC, for instance `0 0 * * MON`. Needed for that type only."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type == "cron" and not self.cron:
            raise ValueError("a window of type cron needs `cron`")
        if self.size.seconds <= 0:
            raise ValueError("size must be more than zero")
        return self


class Usage(SettingsGroup):
    """What queues have used in the past, recorded by the scheduler itself."""

    enabled: bool = False
    """Whether usage is recorded. Off by default: shares then go by weights alone, whatever `kValue` says."""
    window: UsageWindow = UsageWindow()
    """How far back usage counts."""
    half_life: Duration = Duration.of_seconds(0)
    """After so long, usage counts half. Less of it forgives faster. `0s`, which is the default: all of the window
    counts the same."""


class Fairness(SettingsGroup):
    """How the cluster is divided between queues."""

    k_value: Annotated[float, Field(ge=0)] = 1.0
    """How strongly past usage bends a queue's share of what is left over when all quotas are served. A number without
    unit. 0 ignores the past; the larger, the longer a queue that used much has to wait. The default is KAI's, where
    one unit of past usage weighs as much as one unit of weight."""
    usage: Usage = Usage()
    """What queues have used in the past; see `kValue`. Kept in the ConfigMap `kai-py-usage` beside the settings."""
    reclaim_saturation: Annotated[float, Field(ge=1)] = 1.0
    """By how much fuller, relative to its fair share, a sibling that loses something to reclaim must stay than the
    queue that takes it. A number without unit. More of it makes queues with nearly equal shares leave each other
    alone, and lets an imbalance stay longer. 1 by default: shares are evened out as far as whole podgroups allow."""
    preempt_min_runtime: Duration = Duration.of_seconds(0)
    """How long a podgroup is safe from preemption within its queue after its start, where no queue says otherwise. More
    of it wastes less work and makes urgent podgroups wait. `0s` by default, as in KAI."""
    reclaim_min_runtime: Duration = Duration.of_seconds(0)
    """How long a podgroup is safe from reclaim by other queues after its start, where no queue says otherwise. More of
    it wastes less work and lets a queue wait longer for what it is owed. `0s` by default, as in KAI."""
    reclaim_min_runtime_resolution: Literal["lca", "queue"] = "lca"
    """Whose `reclaimMinRuntime` counts. `lca`: that of the victim's ancestor just below the lowest common ancestor with
    the reclaimer, or above it. `queue`: that of the victim's own queue, or above it. `lca` by default, as in KAI: who
    is far away goes by the department's rules, who is near by the team's."""
    accounted_resources: Annotated[tuple[AccountedResource, ...], Strict(False), AfterValidator(_each_once)] = (
        AccountedResource(resource=NVIDIA_GPU, counts_as="gpu"),
        AccountedResource(resource=AMD_GPU, counts_as="gpu"),
    )
    """Which extended resources queues account, beside cpu and memory, which always count. The list replaces the
    default one; each entry more is one more thing that a queue's quota and limit can be about. MIG instances
    (`nvidia.com/mig-…`) count as GPUs without being listed. The default is the device plugins' whole GPUs, so that
    queues written for KAI mean what they meant."""
