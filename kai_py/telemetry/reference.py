"""The page ``docs/reference/reasons.md``, made from the tables of texts; a test compares it with the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from kai_py.core.result import FilterReason, ReasonCode
from kai_py.telemetry.places import FILTER_TEXTS
from kai_py.telemetry.texts import TEXTS

PAGE: Final = PurePosixPath("docs/reference/reasons.md")

_INTRODUCTION: Final = """\
# Why something waits: the reason codes

<!-- Generated from kai_py/telemetry/texts.py, victim_texts.py and places.py. -->

Every podgroup that waits has a reason. Its code stands in the podgroup's status (`UnschedulableOnNodePool`), in
brackets at the end of the `PodScheduled` condition of its pods, and in the metric `kai_py_pending_podgroups`.
`kai-py why` shows it with its evidence. Codes are stable; sentences are not.

A podgroup that finds no place may have a second reason: why nobody has to make room for it. The rules behind it are on
the page [How fairness works](../fairness.md).

Conditions are written, and an Event is sent, when the reason *changes*: another code, queue, resource or subgroup.
Numbers (nodes by reason, amounts, the place in line) are those of that moment; the podgroup's condition is brought up
to date at most every few minutes while only they move.
"""
_NODES: Final = """\
# Why a node does not take a pod

A message such as `0/50 nodes fit: 40 lack nvidia.com/gpu, 6 have untolerated taints` counts every node once, under the
first of these that applies. A node that lacks two resources is counted for both in the brackets behind
`lack resources`. The nearest miss (`2 more GPUs on one node would do`) is the least that any node lacks which lacks
nothing else.
"""


def reasons_page() -> str:
    """The whole page, Markdown."""
    return "\n".join([_INTRODUCTION, *_reasons(), _NODES, *_node_reasons()])


def _reasons() -> Iterator[str]:
    for code in ReasonCode:
        text = TEXTS[code]
        yield f"## {code}\n\n{text.meaning}\n\n**What to do.** {text.todo}\n"


def _node_reasons() -> Iterator[str]:
    for code in FilterReason:
        text = FILTER_TEXTS[code]
        yield f"## {code}\n\n“{text.many}”: {text.meaning}\n\n**What to do.** {text.next_step}.\n"
