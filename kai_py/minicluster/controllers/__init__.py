"""The loops without which the API itself would not behave: garbage collection, namespaces, disruption budgets.

They read the store's indices and write through the storage's verbs, like any client. What a demo needs beyond that is
in ``workers``.
"""

from __future__ import annotations

from typing import Final

from .disruption import keep_budgets
from .garbage import collect_garbage
from .node_taints import keep_node_taints
from .termination import terminate_definitions, terminate_namespaces

BUILTIN_CONTROLLERS: Final = (
    collect_garbage,
    terminate_namespaces,
    terminate_definitions,
    keep_budgets,
    keep_node_taints,
)
