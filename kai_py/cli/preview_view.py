"""A preview as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kai_py.cli.output import Table
from kai_py.cli.plan_view import counted, in_words

Json = dict[str, Any]

_STYLES: Final = {
    "starts": "green",
    "does not start": "yellow",
    "elsewhere": "yellow",
    "evicted": "red",
    "moved": "yellow",
    "not evicted": "green",
    "waits": "yellow",
    "waits no more": "green",
}
_CALLED: Final = {"fairShare": "fair share", "allocated": "allocated"}


def headline(preview: Json) -> str:
    """The preview in one sentence."""
    if preview["same"]:
        return "Nothing differs."
    said = [f"{counted(len(preview['queues']), 'queue')} with other numbers"] if preview["queues"] else []
    for kind, change, word in _SAID:
        if entries := preview[kind][change]:
            said.append(f"{counted(len(entries), 'podgroup' if kind == 'waiting' else 'pod')} {word}")
    return f"{'; '.join(said)}."


_SAID: Final = (
    ("evictions", "more", "evicted in addition"),
    ("evictions", "fewer", "no longer evicted"),
    ("starts", "more", "started in addition"),
    ("starts", "fewer", "no longer started"),
    ("starts", "elsewhere", "on other nodes"),
    ("waiting", "more", "waiting in addition"),
    ("waiting", "fewer", "no longer waiting"),
    ("waiting", "otherReasons", "waiting for other reasons"),
)


def tables(preview: Json) -> list[Table]:
    """Queues, pods and podgroups that are about to fare differently."""
    return [
        Table("Queues", ("Queue", "Resource", "Number", "Before", "After"), list(_queues(preview["queues"]))),
        Table("Pods", ("Change", "Pod", "PodGroup", "Node", "Action", "For"), list(_pods(preview)), _STYLES),
        Table("Waiting", ("Change", "PodGroup", "Queue", "Reason", "Message"), list(_waiting(preview)), _STYLES),
    ]


def _queues(queues: Json) -> Iterator[tuple[str, ...]]:
    for name, resources in queues.items():
        for resource, numbers in resources.items():
            for kind, one in numbers.items():
                cells = (in_words(resource, value) if (value := one[when]) is not None else "" for when in _WHEN)
                yield name, resource, _CALLED[kind], *cells
        if not resources:
            yield name, "", "exists", "", ""


_WHEN: Final = ("before", "after")


def _pods(preview: Json) -> Iterator[tuple[str, ...]]:
    evictions, starts = preview["evictions"], preview["starts"]
    for one in evictions["more"]:
        word = "moved" if one["moved"] else "evicted"
        yield word, one["pod"], one["podGroup"], "", one["action"], one["preemptor"] or ""
    for one in evictions["fewer"]:
        yield "not evicted", one["pod"], one["podGroup"], "", one["action"], one["preemptor"] or ""
    for change, word in (("more", "starts"), ("fewer", "does not start")):
        for one in starts[change]:
            yield word, one["pod"], one["podGroup"], one["node"], one["action"], ""
    for one in starts["elsewhere"]:
        yield "elsewhere", one["pod"], one["podGroup"], f"{one['before']} → {one['after']}", "", ""


def _waiting(preview: Json) -> Iterator[tuple[str, ...]]:
    for change, word in (("more", "waits"), ("otherReasons", "waits"), ("fewer", "waits no more")):
        for one in preview["waiting"][change]:
            for reason in one["reasons"]:
                yield word, one["podGroup"], one["queue"], reason["code"], reason["message"]
