"""The loops without which the API itself would not behave: garbage collection, namespaces, disruption budgets.

They use the storage's verbs like any client. What a demo needs beyond that is in ``workers``.
"""

from __future__ import annotations

from typing import Final

BUILTIN_CONTROLLERS: Final = ()
