"""Names that a shell can offer while a command is typed: contexts, namespaces, and what ``why`` may be asked about.

The cluster is asked as kubectl asks it for its own completion. Whatever goes wrong, nothing is offered: somebody is in
the middle of a line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from kai_py.api.meta import PartialObject
from kai_py.errors import KaiError
from kai_py.kube.access import context_names, current_namespace
from kai_py.kube.client import ApiClient, connect
from kai_py.kube.listing import list_all
from kai_py.kube.resource import ResourceKind
from kai_py.operators.kinds import PODGROUPS, PODS, QUEUES

#: Seconds until a shell has waited long enough.
_PATIENCE: Final = 3.0
_NAMESPACES: Final = ResourceKind("", "v1", "namespaces", PartialObject, namespaced=False)
_PREFIXES: Final[dict[str, ResourceKind[Any]]] = {"pod/": PODS, "podgroup/": PODGROUPS, "queue/": QUEUES}


def value_of(words: Sequence[str], *flags: str) -> str | None:
    """What an option was given in the words before; None if it was not."""
    for number, word in enumerate(words):
        flag, assigned, value = word.partition("=")
        if flag in flags:
            return value if assigned else next(iter(words[number + 1 :]), None)
    return None


def contexts(words: Sequence[str]) -> list[str]:
    """Contexts of the kubeconfig."""
    with suppress(KaiError):
        return context_names(value_of(words, "--kubeconfig"))
    return []


def namespaces(words: Sequence[str]) -> list[str]:
    """All namespaces."""
    return _ask(words, lambda client: _names(client, _NAMESPACES, ""))


def subjects(words: Sequence[str], typed: str) -> list[str]:
    """Pods that have no node; with ``pod/``, ``podgroup/`` or ``queue/`` before, all of that kind."""
    prefix = next((one for one in _PREFIXES if typed.startswith(one)), "")
    given = value_of(words, "-n", "--namespace")

    async def ask(client: ApiClient) -> list[str]:
        namespace = given or current_namespace(value_of(words, "--kubeconfig"), value_of(words, "--context"))
        if prefix:
            kind = _PREFIXES[prefix]
            return [f"{prefix}{name}" for name in await _names(client, kind, namespace if kind.namespaced else "")]
        pods = await list_all(client, PODS, namespace, fieldSelector="spec.nodeName=")
        return [str(one["metadata"]["name"]) for one in pods]

    return _ask(words, ask)


async def _names(client: ApiClient, kind: ResourceKind[Any], namespace: str) -> list[str]:
    return [str(one["metadata"]["name"]) for one in await list_all(client, kind, namespace)]


def _ask(words: Sequence[str], question: Callable[[ApiClient], Awaitable[list[str]]]) -> list[str]:
    async def run() -> list[str]:
        async with (
            asyncio.timeout(_PATIENCE),
            await connect(value_of(words, "--kubeconfig"), value_of(words, "--context")) as client,
        ):
            return await question(client)

    with suppress(KaiError, TimeoutError):
        return asyncio.run(run())
    return []
