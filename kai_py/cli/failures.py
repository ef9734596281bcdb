"""What went wrong, for people: a verdict in one line, the evidence, what to do next. Never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from traceback import extract_tb
from typing import Final

from rich.console import Console
from rich.text import Text

from kai_py.errors import ApiError, Fault, ForbiddenError, InputError, KaiError, UnavailableError
from kai_py.telemetry.printable import printable

#: Exit statuses: the question has no good answer; the question itself is wrong.
FAILED: Final = 1
MISUSED: Final = 2
#: With this variable set, an internal error shows its traceback.
DEBUG_VARIABLE: Final = "KAI_PY_DEBUG"

_CORRECT: Final = "Correct this and run the command again."
_NO_CLUSTER: Final = (
    "Name a kubeconfig with --kubeconfig or $KUBECONFIG. Without a cluster, start one: kai-py minicluster"
)


class Failure(Exception):  # noqa: N818  # it is how a command ends, not always an error
    """Ends a command.

    Args:
        verdict: one line.
        evidence: one line each.
        next_step: what the reader can do.
        status: of the process.
    """

    def __init__(
        self, verdict: str, evidence: Sequence[str] = (), next_step: str = "", *, status: int = FAILED
    ) -> None:
        super().__init__(verdict)
        self.verdict = verdict
        self.evidence = tuple(evidence)
        self.next_step = next_step
        self.status = status

    def report(self) -> None:
        """Tell it on standard error."""
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(Text.assemble(("error: ", "bold red"), printable(self.verdict)))
        for line in self.evidence:
            for part in line.split("\n"):
                console.print(Text(f"  {printable(part)}"))
        if self.next_step:
            console.print(Text.assemble(("next: ", "bold"), self.next_step))


def note(text: str, *, kind: str = "note") -> None:
    """A remark on standard error, beside the data on standard output."""
    words = Text.assemble((f"{kind}: ", "bold yellow"), printable(text))
    Console(stderr=True, highlight=False, soft_wrap=True).print(words)


def failure_of(error: KaiError | Failure) -> Failure:
    """How a command ends with an error of ours."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, InputError):
        return _of_faults(error.faults)
    if isinstance(error, UnavailableError):
        step = "Check that the cluster runs and is the one that you mean: kubectl cluster-info"
        return Failure("the API server does not answer", [str(error)], step)
    if isinstance(error, ForbiddenError):
        step = "Ask an administrator for these rights, or use other credentials: kubectl auth whoami"
        return Failure("the API server does not allow it", [str(error)], step)
    if isinstance(error, ApiError):
        return Failure(f"the API server refused ({error.code})", [str(error)])
    return Failure(f"{error.code}: {error}")


def _of_faults(faults: Sequence[Fault]) -> Failure:
    step = _NO_CLUSTER if any(fault.where.startswith("kubeconfig ") for fault in faults) else _CORRECT
    if len(faults) == 1:
        return Failure(str(faults[0]), next_step=step, status=MISUSED)
    return Failure(f"there are {len(faults)} faults", [str(fault) for fault in faults], step, status=MISUSED)


def bug(error: Exception) -> Failure:
    """How a command ends with an error that nobody has foreseen."""
    frame = extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"
    return Failure(
        f"an internal error: {type(error).__name__}: {error}",
        [f"at {place}", f"command: {' '.join(sys.argv)}"],
        f"This is a bug of kai-py. Run it again with {DEBUG_VARIABLE}=1 and report what it prints.",
    )
