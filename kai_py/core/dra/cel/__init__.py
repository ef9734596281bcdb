"""CEL selectors: which devices an expression of a DeviceClass or ResourceClaim picks.

Pure: text and devices go in, ``true``, ``false`` or an error of ours comes out, in bounded time. Google's parser and
type checker read the expression, :mod:`library` computes. Must not know claims, pools or what is allocated.
"""

from kai_py.core.dra.cel.checker import CelFeatures
from kai_py.core.dra.cel.costs import COST_LIMIT
from kai_py.core.dra.cel.device import Attribute, CelDevice, Unsupported, version_attribute
from kai_py.core.dra.cel.errors import CelError, SelectorError
from kai_py.core.dra.cel.program import CostBudget, Program, compile_expression
from kai_py.core.dra.cel.quantity import Quantity, parse_quantity
from kai_py.core.dra.cel.semver import Semver, parse_semver

__all__ = [
    "COST_LIMIT",
    "Attribute",
    "CelDevice",
    "CelError",
    "CelFeatures",
    "CostBudget",
    "Program",
    "Quantity",
    "SelectorError",
    "Semver",
    "Unsupported",
    "compile_expression",
    "parse_quantity",
    "parse_semver",
    "version_attribute",
]
