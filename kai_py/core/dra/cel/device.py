"""A device as selectors see it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Final

from kai_py.core.dra.cel.errors import SelectorError
from kai_py.core.dra.cel.quantity import Quantity
from kai_py.core.dra.cel.semver import Semver, parse_semver
from kai_py.core.dra.cel.values import DeviceValue, DomainMap, Value


@dataclass(frozen=True)
class Unsupported:
    """An attribute whose value cannot be understood; no selector can be evaluated on its device.

    Attributes:
        reason: as kube-scheduler would say it.
    """

    reason: str = "unsupported attribute value"


Scalar = bool | int | str | Semver
#: The value of an attribute; a tuple is an attribute of list type.
Attribute = Scalar | tuple[bool, ...] | tuple[int, ...] | tuple[str, ...] | tuple[Semver, ...] | Unsupported

_NOTHING: Final[Mapping[str, Attribute]] = MappingProxyType({})
_NO_CAPACITY: Final[Mapping[str, Quantity]] = MappingProxyType({})


def version_attribute(text: str) -> Semver | Unsupported:
    """The value of a version attribute as sent."""
    try:
        return parse_semver(text)
    except ValueError as error:
        return Unsupported(f"parse semantic version: {error}")


@dataclass(frozen=True, eq=False)
class CelDevice:
    """What a selector can ask of a device. Two devices with one signature match the same selectors.

    Attributes:
        driver: name of its driver, also the domain of every unqualified name.
        attributes: by name as written, with or without domain; whole numbers within 64 bits.
        capacity: by name as written, with or without domain.
        allow_multiple_allocations: whether several claims may share it.
    """

    driver: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=lambda: _NOTHING)
    capacity: Mapping[str, Quantity] = field(default_factory=lambda: _NO_CAPACITY)
    allow_multiple_allocations: bool = False

    @cached_property
    def signature(self) -> bytes:
        """16 bytes that tell all that a selector can see; equal devices of different nodes or pools share it."""
        seen = (
            self.driver,
            sorted(self.attributes.items(), key=_name),
            sorted(self.capacity.items(), key=_name),
            self.allow_multiple_allocations,
        )
        return hashlib.blake2b(repr(seen).encode(errors="surrogatepass"), digest_size=16).digest()

    @cached_property
    def _list(self) -> str:
        """Name of an attribute of list type, empty if there is none."""
        return next((name for name, value in self.attributes.items() if isinstance(value, tuple)), "")

    def value(self, *, lists: bool) -> DeviceValue:
        """The value of the variable ``device``.

        Args:
            lists: whether attributes of list type are switched on.

        Raises:
            SelectorError: an attribute has no supported value.
        """
        if self._list and not lists:
            raise SelectorError(f"attribute {self._list}: unsupported attribute value")
        return self._value

    @cached_property
    def _value(self) -> DeviceValue:
        attributes: dict[str, Value] = {}
        for name, value in self.attributes.items():
            if isinstance(value, Unsupported):
                raise SelectorError(f"attribute {name}: {value.reason}")
            attributes[name] = list(value) if isinstance(value, tuple) else value
        fields: dict[str, Value] = {
            "driver": self.driver,
            "attributes": _by_domain(attributes, self.driver),
            "capacity": _by_domain(self.capacity, self.driver),
            "allowMultipleAllocations": self.allow_multiple_allocations,
        }
        return DeviceValue(fields)


def _name(item: tuple[str, object]) -> str:
    return item[0]


def _by_domain(named: Mapping[str, Value], driver: str) -> DomainMap:
    """File names under what stands before their first slash, or under the driver."""
    domains = DomainMap()
    for name, value in named.items():
        domain, slash, identifier = name.partition("/")
        if not slash:
            domain, identifier = driver, name
        found = domains.setdefault(domain, {})
        assert isinstance(found, dict)
        found[identifier] = value
    return domains
