"""Semantic versions as values of CEL (semver.org 2.0.0, as strictly as Kubernetes reads version attributes)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache, total_ordering
from typing import Final

#: One dot-separated identifier of a pre-release, in the order of the specification: numbers before words.
Identifier = tuple[int, int, str]

_NUMBER: Final = r"(0|[1-9][0-9]*)"
_SYNTAX: Final = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([^+]*))?(?:\+(.*))?", re.ASCII | re.DOTALL)
_IDENTIFIER: Final = re.compile(r"[0-9A-Za-z-]+", re.ASCII)
_LONGEST: Final = 10_240
_LARGEST: Final = 2**64 - 1


@total_ordering
@dataclass(frozen=True)
class Semver:
    """A version. Two that differ in build metadata alone are equal.

    Attributes:
        major, minor, patch: the three numbers.
        prerelease: identifiers after ``-``; a version without any comes after all versions with some.
        build: what follows ``+``, not compared.
    """

    major: int
    minor: int
    patch: int
    prerelease: tuple[Identifier, ...] = ()
    build: str = field(default="", compare=False)

    def __lt__(self, other: Semver) -> bool:
        return self._order() < other._order()

    def _order(self) -> tuple[int, int, int, bool, tuple[Identifier, ...]]:
        return self.major, self.minor, self.patch, not self.prerelease, self.prerelease


@lru_cache(maxsize=4096)
def parse_semver(text: str, *, normalize: bool = False) -> Semver:
    """Read a version.

    Args:
        text: ``major.minor.patch`` with optional ``-prerelease`` and ``+build``.
        normalize: first drop a leading ``v``, add what is missing of ``.0.0`` and remove leading zeros.

    Raises:
        ValueError: it is not a version; the text says why.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"version of {len(text)} characters, more than {_LONGEST}")
    match = _SYNTAX.fullmatch(_normalized(text) if normalize else text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a semantic version: three numbers without leading zeros, e.g. 1.2.3")
    major, minor, patch = (int(match[number]) if len(match[number]) <= 20 else _LARGEST + 1 for number in (1, 2, 3))
    if max(major, minor, patch) > _LARGEST:
        raise ValueError(f"{text[:40]!r} has a number beyond 64 bits")
    before = () if match[4] is None else tuple(_identifier(part) for part in match[4].split("."))
    if match[5] is not None and not all(_IDENTIFIER.fullmatch(part) for part in match[5].split(".")):
        raise ValueError(f"{text[:40]!r} has invalid build metadata")
    return Semver(major, minor, patch, before, match[5] or "")


def _identifier(part: str) -> Identifier:
    if not _IDENTIFIER.fullmatch(part):
        raise ValueError(f"invalid pre-release identifier {part[:40]!r}")
    if not part.isdigit():
        return 1, 0, part
    if len(part) > 20 or (len(part) > 1 and part[0] == "0"):
        raise ValueError(f"pre-release number {part[:40]!r} is too long or has leading zeros")
    return 0, int(part), ""


def _normalized(text: str) -> str:
    """The text as a strict version, if it has a chance to be one (Kubernetes' own tolerant reading)."""
    parts = [_without_zeros(part) for part in text.removeprefix("v").split(".", 2)]
    if len(parts) < 3 and set(parts[-1]) & set("+-"):
        raise ValueError("short version cannot contain PreRelease/Build meta data")
    return ".".join(parts + ["0"] * (3 - len(parts)))


def _without_zeros(part: str) -> str:
    if len(part) < 2:
        return part
    rest = part.lstrip("0")
    return rest if rest[:1].isdigit() else "0" + rest
