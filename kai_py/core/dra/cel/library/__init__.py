"""Every function of the language that Kubernetes 1.36 offers to selectors, one file for each kind of value.

A function here is pure, raises nothing but :class:`EvaluationError` and :class:`LimitError`, and knows nothing of
trees and costs. ``math`` and ``base64`` are absent on purpose: Kubernetes does not offer them either.
"""

from typing import Final

from kai_py.core.dra.cel.library import (
    conversions,
    formats,
    lists,
    network,
    operators,
    optionals,
    quantities,
    regex,
    strings,
    times,
)
from kai_py.core.dra.cel.library.overload import Overload

OVERLOADS: Final[tuple[Overload, ...]] = (
    *operators.OVERLOADS,
    *conversions.OVERLOADS,
    *strings.OVERLOADS,
    *lists.OVERLOADS,
    lists.INCLUDES,
    *optionals.OVERLOADS,
    *quantities.OVERLOADS,
    *regex.OVERLOADS,
    *network.OVERLOADS,
    *formats.OVERLOADS,
    *times.OVERLOADS,
)
