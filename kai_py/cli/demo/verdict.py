"""How it ended: what held, what did not, and the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from kai_py.cli.demo.director import Director
from kai_py.cli.demo.pulse import Pulse
from kai_py.cli.demo.referee import Referee
from kai_py.cli.demo.teams import UNLIMITED, Queue
from kai_py.cli.demo.workload import Workload


@dataclass(frozen=True)
class Verdict:
    """How it ended.

    Attributes:
        held: what was looked at and found well, one line each.
        failed: what was not.
        numbers: name and text, in the order to show them.
    """

    held: tuple[str, ...]
    failed: tuple[str, ...]
    numbers: tuple[tuple[str, str], ...]

    @property
    def good(self) -> bool:
        """Whether the scheduler has passed."""
        return not self.failed

    def lines(self) -> list[str]:
        """Plain text: the verdict first."""
        first = "PASSED: all invariants held, and the story went as it should" if self.good else "FAILED"
        width = max((len(name) for name, _ in self.numbers), default=0)
        return [
            first,
            *(f"  no: {text}" for text in self.failed),
            *(f"  ok: {text}" for text in self.held),
            *(f"  {name:<{width}}  {text}" for name, text in self.numbers),
        ]


def judge(
    referee: Referee,
    director: Director,
    queues: tuple[Queue, ...],
    cast: Mapping[str, Workload],
    seconds: float,
    pulse: Pulse,
) -> Verdict:
    """The verdict over a story that has been played to its end.

    Args:
        referee: has watched it.
        director: has played it.
        queues: all of them.
        cast: all workloads by name.
        seconds: how long it took.
        pulse: the scheduler's cycles.
    """
    numbers = referee.numbers
    failed = [*referee.faults, *director.missing, *_surprises(referee, queues, cast)]
    held = () if referee.faults else _INVARIANTS
    story = () if director.missing else (f"the story: {director.seen} expected effects came, in their order",)
    gangs = [one for one in cast.values() if one.is_ours and one.minimum > 1]
    figures = (
        ("pods bound", f"{numbers.bound}, {len(gangs)} gangs among them, in {seconds:.1f} s"),
        ("time to bind", f"median {1000 * median(numbers.waited):.0f} ms, those that had to wait included")
        if numbers.waited
        else ("time to bind", "nothing was bound"),
        ("GPUs in use", f"{numbers.busiest} at the busiest moment"),
        *((f"queue {queue.name}", _standing(referee, queue)) for queue in queues if queue.parent),
        ("devices claimed", str(numbers.devices)),
        ("made room", f"{numbers.yielded} pods that had borrowed their GPUs"),
        ("reasons told", f"to {numbers.told} pods that waited"),
        ("watched", f"{numbers.events} changes"),
        ("cycles", f"{pulse.cycles}, {pulse.milliseconds:.1f} ms each on average"),
    )
    return Verdict((*held, *story), tuple(failed), figures)


_INVARIANTS = (
    "no node was overcommitted, and no kubelet refused a pod",
    "no device was given twice, and no GPU cut into more than it is",
    "no gang stayed half started",
    "no queue exceeded its limit",
    "nobody was pushed below a quota to make room for others",
    "every pod was bound exactly once, and none was left behind",
    "everyone who waited was told why",
    "pods of other schedulers were left alone",
)


def _surprises(referee: Referee, queues: tuple[Queue, ...], cast: Mapping[str, Workload]) -> Iterable[str]:
    """Counts that are not as the story has them."""
    startable = sum(one.pods for one in cast.values() if one.is_ours and one.name not in _NEVER_STARTS)
    if referee.numbers.bound != startable:
        yield f"{referee.numbers.bound} pods were bound instead of {startable}"
    for queue in queues:
        peak = referee.numbers.peak[queue.name]
        if queue.limit != UNLIMITED and peak != queue.limit:
            yield f"queue {queue.name} should have reached its limit of {queue.limit} GPUs, and held {peak} at most"
    if all(referee.numbers.peak[queue.name] <= queue.quota for queue in queues if queue.parent):
        yield "no queue has borrowed what others did not use"


#: Workloads that ask for what no node has.
_NEVER_STARTS = frozenset({"typo"})


def _standing(referee: Referee, queue: Queue) -> str:
    peak = referee.numbers.peak[queue.name]
    limit = "" if queue.limit == UNLIMITED else f", limit {queue.limit}"
    return f"{peak} GPUs at most, quota {queue.quota}{limit}"
