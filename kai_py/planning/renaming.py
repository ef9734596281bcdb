"""Names to other names, so that nobody recognises them and every decision stays what it was.

A scheduler compares names: it sorts by them, breaks ties by them, and makes one from others (``pg-<owner>-<uid>``).
So the renaming keeps the order of all names, is the same for each part of a name, and never gives two names one:
it replaces words, which are what stands between digits and punctuation, by words whose order is the same.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from string import ascii_lowercase
from typing import Final

#: Words that stay, because names are made with them. Whatever lies between two of them gets what begins so; the first
#: part of each pair is larger than the word before it and smaller than the word behind, whatever follows it.
WORDS: Final = ("default", "parent", "pg", "queue")
_BEGINNINGS: Final = ("a", "e", "pb", "ph", "r")
_WORD: Final = re.compile(r"[A-Za-z_\u0080-\U0010ffff]+")


def words_of(text: str) -> list[str]:
    """The words of a text."""
    return _WORD.findall(text)


class Renaming:
    """Replaces words.

    For texts of letters, digits and ``-./_``, as names are: ``a < b`` exactly when ``of(a) < of(b)``, and
    ``of(a + "-" + b) == of(a) + "-" + of(b)``.

    Args:
        words: all that may come.
    """

    def __init__(self, words: Iterable[str]) -> None:
        gaps: list[list[str]] = [[] for _ in _BEGINNINGS]
        for word in sorted({*words} - {*WORDS}):
            gaps[bisect_right(WORDS, word)].append(word)
        width = 1
        while len(ascii_lowercase) ** width < max(map(len, gaps)):
            width += 1
        self._codes = {word: word for word in WORDS}
        for beginning, gap in zip(_BEGINNINGS, gaps, strict=True):
            self._codes |= {word: beginning + _digits(number, width) for number, word in enumerate(gap)}

    def of(self, text: str) -> str:
        """The text with all its words replaced.

        Raises:
            KeyError: a word of it was not announced.
        """
        return _WORD.sub(lambda match: self._codes[match[0]], text)


def _digits(number: int, width: int) -> str:
    """A number in letters."""
    letters = []
    for _ in range(width):
        number, rest = divmod(number, len(ascii_lowercase))
        letters.append(ascii_lowercase[rest])
    return "".join(reversed(letters))
