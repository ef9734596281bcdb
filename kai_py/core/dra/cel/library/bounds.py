"""How large a value may become: cost units alone do not keep memory small.

Upstream's cost of joining lists or repeating text is small, because Go shares memory there; here it is copied.
"""

from __future__ import annotations

from typing import Final

from kai_py.core.dra.cel.errors import LimitError

#: Elements of a list or map, or characters of a string. No device has more than a few dozen of either.
MAX_SIZE: Final = 100_000


def bounded(size: int) -> None:
    """Refuse to build a value of more elements or characters.

    Raises:
        LimitError: it would be too large.
    """
    if size > MAX_SIZE:
        raise LimitError(f"a value of {size} elements or characters is too large, the limit is {MAX_SIZE}")
