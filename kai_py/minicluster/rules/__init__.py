"""What each built-in kind demands of its objects: defaults, admission, validation. Custom kinds follow their schema.

One module per kind or family. Must not store anything: rules change the object they are given, or refuse it.
"""

from __future__ import annotations

from typing import Final

from kai_py.minicluster.kinds import CRDS, NAMESPACES, PODS, PRIORITY_CLASSES

from .base import Rules
from .crds import DefinitionRules
from .namespaces import NamespaceRules
from .pods import PodRules
from .priority import PriorityClassRules

RULES: Final[dict[str, Rules]] = {
    CRDS.key: DefinitionRules(),
    NAMESPACES.key: NamespaceRules(),
    PODS.key: PodRules(),
    PRIORITY_CLASSES.key: PriorityClassRules(),
}
