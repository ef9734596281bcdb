"""kai-py: a Kubernetes scheduler for AI clusters.

A functional core in an async shell: the core turns a snapshot into decisions and nothing else; the shell
watches, applies and tells. ``docs/architecture.md`` draws the house.

The stable Python interface is :func:`plan`, :func:`fair_share` and :func:`group`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kai_py.planning.fairshare import fair_share
    from kai_py.planning.group import group
    from kai_py.planning.plan import plan

__all__ = ["fair_share", "group", "plan"]

_HOMES = {
    "fair_share": "kai_py.planning.fairshare",
    "group": "kai_py.planning.group",
    "plan": "kai_py.planning.plan",
}


def __getattr__(name: str) -> object:
    # Resolved when asked for: reading an error class must not load the whole scheduler.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
