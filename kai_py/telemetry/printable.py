"""Words of users in lines of ours: nothing in them may steer a terminal, break a line or turn its direction."""

from __future__ import annotations

from typing import Final
from unicodedata import category

#: Controls, formats such as bidirectional overrides, halves of characters, and what ends a line or paragraph.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    r"""The same text, with escapes such as ``\x1b`` for what cannot be seen."""
    if text.isprintable():
        return text
    return "".join(one.encode("unicode_escape").decode() if category(one) in _HIDDEN else one for one in text)
