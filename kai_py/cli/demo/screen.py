"""The demo on a terminal: queues, workloads, who waits and why, and what was told last."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kai_py.cli.demo.pulse import Pulse
from kai_py.cli.demo.rank_map import rank_map
from kai_py.cli.demo.teams import UNLIMITED, Queue
from kai_py.cli.demo.verdict import Verdict
from kai_py.cli.demo.workload import Kind, Workload
from kai_py.cli.demo.world import PODS, QUEUES, Thing, World
from kai_py.kube.resource import ResourceKind
from kai_py.kube.wire import EventType

#: Cells of a queue's bar, for all GPUs of the cluster.
_BAR: Final = 44
#: Seconds over which pods per second are counted.
_WINDOW: Final = 5.0
_SAID: Final = 3
_EVENTS: Final = 5
_REASONS: Final = 6


class Screen:
    """Draws what happens, again at every tick.

    Args:
        world: where it happens.
        queues: all of them.
        cast: all workloads by name.
        length: of the demo, in seconds.
        pulse: the scheduler's cycles.
        console: where to draw.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        world: World,
        queues: tuple[Queue, ...],
        cast: Mapping[str, Workload],
        length: float,
        pulse: Pulse,
        *,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._world = world
        self._queues = queues
        self._cast = cast
        self._length = length
        self._pulse = pulse
        self._clock = clock
        self._began = clock()
        self._said: deque[str] = deque(maxlen=_SAID)
        self._placed: set[str] = set()
        self._lately: deque[float] = deque()
        self._live = Live(console=console or Console(highlight=False), auto_refresh=False, vertical_overflow="crop")
        self._live.start()
        world.listeners.append(self.hear)

    def hear(self, kind: ResourceKind[Thing], _: EventType, one: Thing) -> None:
        """Count pods that are bound."""
        if kind is PODS and one.queue and one.node and one.metadata.uid not in self._placed:
            self._placed.add(one.metadata.uid)
            self._lately.append(self._clock())

    def say(self, text: str) -> None:
        """What a team does."""
        self._said.append(f"{self._clock() - self._began:5.1f}s  {text}")

    def tick(self) -> None:
        """Draw."""
        self._live.update(self.drawn(), refresh=True)

    def close(self, verdict: Verdict) -> None:
        """The last picture stays, and the verdict follows."""
        self.stop()
        console = self._live.console
        first, *others = verdict.lines()
        console.print(Text(first, style="bold green" if verdict.good else "bold red"))
        for line in others:
            console.print(Text(line))

    def stop(self) -> None:
        """Give the terminal back."""
        self._live.stop()

    # -- what is drawn -------------------------------------------------------------------------------

    def drawn(self) -> RenderableType:
        """The whole picture."""
        return Group(
            self._head(),
            self._queue_table(),
            self._workload_table(),
            *_block("ranks", self._ranks(), "green"),
            *_block("waiting", self._reasons(), "yellow"),
            *_block("teams", self._said, "cyan"),
            *_block("events", self._events(), "dim"),
        )

    def _head(self) -> Text:
        now = self._clock()
        while self._lately and now - self._lately[0] > _WINDOW:
            self._lately.popleft()
        pods = [pod for pod in self._world.all(PODS) if pod.node and not pod.finished]
        parts = (
            f"{now - self._began:4.0f} of about {self._length:.0f} s",
            f"{sum(pod.gpus for pod in pods)} of {self._world.gpus()} GPUs in use",
            f"{len(self._placed)} pods bound, {len(self._lately) / _WINDOW:.1f}/s",
            f"{self._pulse.cycles} cycles of {self._pulse.milliseconds:.1f} ms",
        )
        return Text.assemble(("kai-py demo", "bold"), "   ", "   ".join(parts))

    def _queue_table(self) -> Table:
        table = _table("queue", "held", "quota", "limit", "fair", "")
        total = self._world.gpus()
        for queue in self._ordered():
            children = {one.name for one in self._queues if one.parent == queue.name} or {queue.name}
            held = sum(self._world.gpus_held(name) for name in children)
            status = self._world.find(QUEUES, "", queue.name)
            fair = (status.status.get("fairShare") or {}).get("gpu", "-") if status is not None else "-"
            limit = "-" if queue.limit == UNLIMITED else str(queue.limit)
            name = f"  {queue.name}" if queue.parent else queue.name
            table.add_row(name, str(held), str(queue.quota), limit, str(fair), bar(held, queue, total))
        return table

    def _ordered(self) -> Iterable[Queue]:
        """Each department, then its teams."""
        for queue in self._queues:
            if not queue.parent:
                yield queue
                yield from (one for one in self._queues if one.parent == queue.name)

    def _workload_table(self) -> Table:
        table = _table("workload", "team", "is", "pods", "GPUs", "state")
        for name, workload in self._cast.items():
            pods = self._world.pods_of(name)
            if not pods:
                continue
            kind = {Kind.PODS: "pods", Kind.GANG: "gang", Kind.JOB: "gang (Job)"}[workload.kind]
            asked = f"{workload.pods} × {workload.gpus or 'a part'}"
            table.add_row(name, workload.team, kind, str(len(pods)), asked, _state(pods))
        return table

    def _ranks(self) -> Iterable[str]:
        for name, workload in self._cast.items():
            if workload.ranked:
                yield from rank_map(self._world, name)

    def _reasons(self) -> Iterable[str]:
        told: dict[str, str] = {}
        for pod in self._world.waiting():
            if pod.workload not in told:
                why = self._world.why(pod)
                told[pod.workload] = f"{pod.workload}: {why.verdict} {why.next_step}"
        return list(told.values())[:_REASONS]

    def _events(self) -> Iterable[str]:
        for seen, event in list(self._world.recent)[-_EVENTS:]:
            about = event.regarding
            name = f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"
            yield f"{seen - self._began:5.1f}s  {event.reason} {name}: {event.note}"


def bar(held: int, queue: Queue, total: int) -> Text:
    """GPUs as cells: held within the quota, held beyond it, free; a mark where quota and limit end."""
    cells = [("·", "dim")] * _BAR
    for cell in range(_scaled(held, total)):
        cells[cell] = ("█", "green") if cell < _scaled(queue.quota, total) else ("█", "yellow")
    _mark(cells, _scaled(queue.quota, total), ("│", "bold"))
    if queue.limit != UNLIMITED:
        _mark(cells, _scaled(queue.limit, total), ("┃", "bold red"))
    return Text.assemble(*cells)


def _scaled(gpus: int, total: int) -> int:
    return min(_BAR, round(_BAR * gpus / total)) if total else 0


def _mark(cells: list[tuple[str, str]], place: int, mark: tuple[str, str]) -> None:
    if place < len(cells):
        cells[place] = mark


def _state(pods: list[Thing]) -> Text:
    """How many pods are where."""
    counts = Counter(_word(pod) for pod in pods)
    styles = {"runs": "green", "waits": "yellow", "starts": "cyan", "makes room": "red", "ended": "dim"}
    parts = [(f"{counts[word]} {word}", style) for word, style in styles.items() if counts[word]]
    return Text("  ").join(Text(text, style=style) for text, style in parts)


def _word(pod: Thing) -> str:
    if pod.finished:
        return "ended"
    if pod.yields:
        return "makes room"
    if not pod.node:
        return "waits"
    return "runs" if pod.phase == "Running" else "starts"


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = column in ("held", "quota", "limit", "fair", "pods")
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    return table


def _block(title: str, lines: Iterable[str], style: str) -> Iterable[Text]:
    """A title and lines that are cut off rather than folded."""
    yield Text(title, style="bold")
    for line in lines:
        yield Text(f"  {line}", style=style, no_wrap=True, overflow="ellipsis")
