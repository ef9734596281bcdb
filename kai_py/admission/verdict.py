"""The question of an admission webhook, and the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from kai_py.api.queue import Queue
from kai_py.cluster.access import AccessBook
from kai_py.cluster.namespaces import NamespaceBook
from kai_py.cluster.queues import QueueBook
from kai_py.core.result import ReasonCode
from kai_py.errors import Fault
from kai_py.settings.model import Settings

Operation = Literal["CREATE", "UPDATE", "DELETE"]
Rigour = Literal["ignore", "warn", "refuse"]

INVALID: Final = 422
FORBIDDEN: Final = 403


@dataclass(frozen=True)
class Request:
    """Somebody wants this.

    Attributes:
        operation: what is to be done.
        new: the object as it would be; empty for DELETE.
        old: the object as it is; empty for CREATE.
        namespace: where; empty for cluster-scoped kinds.
    """

    operation: Operation
    new: Mapping[str, Any] = field(default_factory=dict)
    old: Mapping[str, Any] = field(default_factory=dict)
    namespace: str = ""

    @property
    def name(self) -> str:
        """Name of the object; empty while only ``generateName`` is given."""
        return str(part(self.new or self.old, "metadata").get("name") or "")

    @property
    def same_spec(self) -> bool:
        """Whether nothing of the spec would change: labels, finalizers and the like are nobody's business here."""
        return self.operation == "UPDATE" and self.new.get("spec") == self.old.get("spec")


@dataclass(frozen=True)
class Verdict:
    """What is said to it.

    Attributes:
        refusal: why not, in a sentence; empty = let in.
        code: HTTP status of a refusal.
        warnings: shown to whoever asked, also where it is let in.
        changes: steps of a JSON patch of the object, where it is let in.
    """

    refusal: str = ""
    code: int = INVALID
    warnings: tuple[str, ...] = ()
    changes: tuple[Mapping[str, Any], ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether it is let in."""
        return not self.refusal


LET_IN: Final = Verdict()


@dataclass
class Known:
    """What decisions depend on.

    Attributes:
        queues: all of them.
        namespaces: their labels.
        access: who may use which queue.
        settings: those in force.
        device_classes: names of all of them; None = nobody has looked.
    """

    queues: QueueBook = field(default_factory=QueueBook)
    namespaces: NamespaceBook = field(default_factory=NamespaceBook)
    settings: Settings = field(default_factory=Settings)
    device_classes: frozenset[str] | None = None
    access: AccessBook = field(init=False)

    def __post_init__(self) -> None:
        self.access = AccessBook(self.queues, self.namespaces)

    def queue(self, name: str) -> Queue | None:
        """A queue as it was seen last."""
        return self.queues.queues.get(name)

    def children(self, name: str) -> list[str]:
        """Queues directly below one."""
        return sorted(one.name for one in self.queues.queues.values() if one.spec.parent_queue == name)


def part(manifest: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """An object inside an object; empty where it is missing or something else."""
    at: Any = manifest
    for key in keys:
        # Nearly all are dicts; to ask for any Mapping takes longer than all the rest.
        at = at.get(key) if type(at) is dict or isinstance(at, Mapping) else None
    return at if isinstance(at, Mapping) else {}


def refused(faults: Iterable[Fault], *, code: int = INVALID) -> Verdict:
    """A refusal that names every fault."""
    return Verdict("; ".join(f"{one.field}: {one.message}" if one.field else one.message for one in faults), code)


def by_rigour(rigour: Rigour, texts: Iterable[str], *, code: int = INVALID) -> Verdict:
    """The same findings as nothing, as warnings, or as a refusal."""
    said = tuple(texts)
    if not said or rigour == "ignore":
        return LET_IN
    return Verdict("; ".join(said), code) if rigour == "refuse" else Verdict(warnings=said)


def queue_problem(known: Known, queue: str, namespace: str) -> str:
    """Why podgroups of a namespace cannot use a queue; empty if they can.

    The queue's place in the tree is not looked at: an administrator mends it, not whoever makes a pod.
    """
    if known.queue(queue) is None:
        return f"there is no queue {queue!r} (kubectl get queues lists them)"
    found = known.access.refusal(queue, namespace)
    if found is None:
        return ""
    code, details = found
    assert code is ReasonCode.QUEUE_FORBIDDEN
    if "by" in details:
        whose = "it" if details["by"] == queue else f"queue {details['by']!r} above it"
        return f"namespace {namespace!r} may not use queue {queue!r}: {whose} takes namespaces with {_said(details)}"
    if "verb" in details:
        group = f"system:serviceaccounts:{namespace}"
        return f"namespace {namespace!r} may not use queue {queue!r}: {group} needs the verb {details['verb']!r} on it"
    return ""  # nobody has answered yet: scheduling looks again


def _said(details: Mapping[str, str]) -> str:
    return details.get("selector") or "labels that cannot be understood"
