"""What happens in the demo, in order: who submits what, what has to come of it, and what happens then.

A step waits for its time *and* for the effects of the steps before it. An effect that does not come is what the verdict
is about; the story goes on without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kai_py.cli.demo.teams import GPUS_PER_NODE, PLATFORM, PRODUCT, RESEARCH, STUDIO, queues
from kai_py.cli.demo.wanted import Wanted
from kai_py.cli.demo.workload import Kind, Workload
from kai_py.core.result import ReasonCode


@dataclass(frozen=True)
class Runs:
    """So many pods of a workload run, or have run; None = all of them."""

    workload: str
    pods: int | None = None


@dataclass(frozen=True)
class Waits:
    """So many pods of a workload wait, and each says one of these reasons."""

    workload: str
    pods: int
    codes: tuple[ReasonCode, ...]


@dataclass(frozen=True)
class Ends:
    """All pods of a workload have run to their end, but for those that had to make room."""

    workload: str


@dataclass(frozen=True)
class Yields:
    """At least so many pods of a workload were told to make room for others."""

    workload: str
    pods: int


Effect = Runs | Waits | Ends | Yields


@dataclass(frozen=True)
class Submit:
    """A team submits a workload."""

    workload: Workload


@dataclass(frozen=True)
class Complete:
    """The members of a workload arrive that were missing."""

    workload: Workload


@dataclass(frozen=True)
class Approve:
    """The gates of a workload's pods are removed."""

    workload: Workload


@dataclass(frozen=True)
class End:
    """The pods of some workloads that run come to their end."""

    workloads: tuple[Workload, ...]


@dataclass(frozen=True)
class Withdraw:
    """A team deletes what it has submitted."""

    workload: Workload


@dataclass(frozen=True)
class Place:
    """Another scheduler binds a pod of its own."""

    workload: Workload


Act = Submit | Complete | Approve | End | Withdraw | Place


@dataclass(frozen=True)
class Step:
    """One step of the story.

    Attributes:
        at: not before this part of the demo's length.
        says: what happens, for people.
        act: what to do.
        effects: what has to come of it before the story goes on.
    """

    at: float
    says: str
    act: Act
    effects: tuple[Effect, ...] = ()


#: So many of the smallest parts make up one GPU.
_PARTS: Final = 7
#: A pod of another scheduler holds this many GPUs.
FOREIGN_GPUS: Final = 1

#: All that a pod without room may say: which is the most telling depends on who could make room for it.
_NO_ROOM: Final = (
    ReasonCode.UNSCHEDULABLE,
    ReasonCode.GANG_DOES_NOT_FIT,
    ReasonCode.WAITING_FOR_RELEASE,
    ReasonCode.OVER_FAIR_SHARE,
    ReasonCode.NO_VICTIMS,
    ReasonCode.NOT_ENOUGH_VICTIMS,
    ReasonCode.NOT_ENOUGH_RECLAIMABLE,
    ReasonCode.VICTIM_WITHIN_SHARE,
    ReasonCode.RECLAIMER_OVER_SHARE,
    ReasonCode.VICTIMS_WITHOUT_PLACE,
)

_NO_DEVICES: Final = (ReasonCode.DEVICES_UNAVAILABLE, *_NO_ROOM)


def story(gpus: int, claimable: int = 0) -> tuple[Step, ...]:
    """The story.

    Args:
        gpus: of the cluster, on nodes with eight each; at least six of them.
        claimable: GPUs on nodes of their own, which can be claimed, also in parts; none, or at least eight.
    """
    ours, theirs = _teams(gpus), _studio(claimable) if claimable else ()
    return tuple(sorted((*ours, *theirs), key=lambda step: step.at))


def _studio(gpus: int) -> tuple[Step, ...]:
    """What the team does whose pods claim devices."""
    grade = Workload(name="grade", team=STUDIO, kind=Kind.GANG, pods=4, gpus=1, claims=Wanted.PAIR)
    captions = Workload(name="captions", team=STUDIO, pods=_PARTS, gpus=0, claims=Wanted.PART)
    upscale = Workload(name="upscale", team=STUDIO, pods=gpus - grade.pods - 1, gpus=1, claims=Wanted.GPU)
    dub = Workload(name="dub", team=STUDIO, pods=2, gpus=1, claims=Wanted.GPU)
    return (
        Step(0.02, "studio claims 4 pairs of a GPU and a network card below one PCIe root, for a gang", Submit(grade),
             (Runs("grade"),)),
        Step(0.08, f"studio claims {captions.pods} parts of GPUs, which are cut as they are needed", Submit(captions),
             (Runs("captions"),)),
        Step(0.17, "studio claims all whole GPUs that are left", Submit(upscale), (Runs("upscale"),)),
        Step(0.33, "studio claims 2 GPUs more than there are", Submit(dub), (Waits("dub", 2, _NO_DEVICES),)),
        Step(0.56, "the gang is done: its devices go to those that wait", End((grade,)), (Ends("grade"), Runs("dub"))),
        Step(0.83, "studio is done", End((captions, upscale, dub)), (Ends("captions"), Ends("upscale"), Ends("dub"))),
    )  # fmt: skip


def _teams(gpus: int) -> tuple[Step, ...]:
    """What the teams do that ask for GPUs of the device plugin."""
    by_name = {queue.name: queue for queue in queues(gpus)}
    platform, nodes = by_name[PLATFORM], gpus // GPUS_PER_NODE
    pretrain = Workload(
        name="pretrain", team=RESEARCH, kind=Kind.GANG, pods=max(2, nodes // 3), gpus=GPUS_PER_NODE, ranked=True
    )
    serve = Workload(name="serve", team=PRODUCT, pods=8, gpus=1)
    nightly = Workload(name="nightly", team=PLATFORM, kind=Kind.JOB, pods=platform.quota // 2, gpus=2)
    ci_starts = platform.limit - platform.quota
    ci = Workload(name="ci", team=PLATFORM, pods=2 * ci_starts, gpus=1)
    idle = gpus - pretrain.pods * pretrain.gpus - serve.pods - platform.limit - FOREIGN_GPUS
    surplus = 4
    burst = Workload(name="burst", team=PRODUCT, pods=idle + surplus, gpus=1)
    finetune = Workload(name="finetune", team=RESEARCH, kind=Kind.GANG, pods=2, gpus=GPUS_PER_NODE)
    encore = Workload(name="encore", team=PRODUCT, kind=Kind.GANG, pods=2, gpus=GPUS_PER_NODE)
    typo = Workload(name="typo", team=RESEARCH, pods=1, gpus=2 * GPUS_PER_NODE)
    review = Workload(name="review", team=RESEARCH, pods=1, gpus=1, gated=True)
    late = Workload(name="late", team=RESEARCH, kind=Kind.GANG, pods=3, gpus=1, first=2)
    trials = Workload(name="trials", team=RESEARCH, pods=gpus // 2, gpus=1, lasts=0.03)
    vendor = Workload(name="vendor", team=PLATFORM, pods=2, gpus=FOREIGN_GPUS, scheduler="vendor-scheduler")
    return (
        Step(0.00, f"research starts a gang of {pretrain.pods} servers, whose ranks talk in a ring", Submit(pretrain),
             (Runs("pretrain"),)),
        Step(0.03, "product serves a model from 8 single pods", Submit(serve), (Runs("serve"),)),
        Step(0.06, f"platform starts a Job of {nightly.pods} pods that need each other", Submit(nightly),
             (Runs("nightly"),)),
        Step(0.10, "a vendor submits two pods that name another scheduler", Submit(vendor)),
        Step(0.12, "the vendor's scheduler places one of them", Place(vendor), (Runs("vendor", 1),)),
        Step(0.15, f"platform tests {ci.pods} changes; its limit leaves room for {ci_starts}", Submit(ci),
             (Runs("ci", ci_starts), Waits("ci", ci_starts, (ReasonCode.OVER_LIMIT,)))),
        Step(0.22, f"product bursts onto all idle GPUs, far over its quota: {burst.pods} pods", Submit(burst),
             (Runs("burst", idle), Waits("burst", surplus, _NO_ROOM))),
        Step(0.30, "research submits a gang of 2 servers, within its quota: product gives back what it has borrowed",
             Submit(finetune), (Runs("finetune"), Yields("burst", 1))),
        Step(0.36, "product submits a gang of 2 servers beyond its quota; it has to wait for room", Submit(encore),
             (Waits("encore", 2, _NO_ROOM),)),
        Step(0.40, "research asks for 16 GPUs on one server, which no server has", Submit(typo),
             (Waits("typo", 1, _NO_ROOM),)),
        Step(0.44, "research submits a pod that waits for an approval", Submit(review),
             (Waits("review", 1, (ReasonCode.GATED,)),)),
        Step(0.47, "two of three members of a gang arrive", Submit(late),
             (Waits("late", 2, (ReasonCode.GANG_NOT_READY,)),)),
        Step(0.52, "the burst is over: its pods end", End((burst,)), (Runs("encore"), Runs("burst"))),
        Step(0.60, "the first tests of platform end, the others take their place", End((ci,)), (Runs("ci"),)),
        Step(0.64, "the review is approved", Approve(review), (Runs("review"),)),
        Step(0.68, "the third member of the gang arrives", Complete(late), (Runs("late"),)),
        Step(0.71, "product is done with its burst and its gang", End((burst, encore)),
             (Ends("burst"), Ends("encore"))),
        Step(0.75, f"research tries {trials.pods} short experiments", Submit(trials), (Runs("trials"), Ends("trials"))),
        Step(0.85, "the work is done, team by team", End((pretrain, serve, nightly, ci, finetune, review, late)),
             tuple(Ends(one.name) for one in (pretrain, serve, nightly, ci, finetune, review, late))),
        Step(0.95, "research has read why its pod cannot start, and withdraws it", Withdraw(typo)),
    )  # fmt: skip


def cast(steps: tuple[Step, ...]) -> dict[str, Workload]:
    """All workloads of a story by name."""
    return {step.act.workload.name: step.act.workload for step in steps if isinstance(step.act, Submit)}
