"""Claims as values: what is asked for, with classes resolved and every default in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kai_py.core.dra.selectors import Selector
from kai_py.core.tables.classes import Toleration

#: ``count`` of a request for all devices that match.
ALL: Final = -1
#: A claim can hold so many devices (``status.allocation.devices.results``).
MAX_DEVICES: Final = 32
#: And so many configurations (``status.allocation.devices.config``).
MAX_CONFIGURATIONS: Final = 64
#: So much is the first of several alternatives worth; each later one is worth one less.
BEST_ALTERNATIVE: Final = 8


@dataclass(frozen=True, slots=True)
class Configuration:
    """Parameters for a driver; nobody else looks inside.

    Attributes:
        requests: for which requests of the claim (``request`` or ``request/subrequest``); () = all, or of a class.
        opaque: as it was sent.
    """

    opaque: object = field(hash=False)
    requests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """A kind of device."""

    name: str
    selectors: tuple[Selector, ...] = ()
    config: tuple[Configuration, ...] = ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to satisfy a request.

    Attributes:
        name: as results write it: the request's, or ``request/subrequest``.
        device_class: of the devices.
        selectors: of the request itself; those of the class come first.
        count: how many devices, or ``ALL``.
        admin: looks at devices that others use.
        tolerations: of device taints.
        capacity: capacity name -> amount that is wanted of each device.
    """

    name: str
    device_class: DeviceClass
    selectors: tuple[Selector, ...] = ()
    count: int = 1
    admin: bool = False
    tolerations: tuple[Toleration, ...] = ()
    capacity: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Request:
    """A request: the first alternative that works out is taken. ``listed``: they were written as a list of several."""

    name: str
    alternatives: tuple[Alternative, ...]
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Constraint:
    """What devices must, or must not, have in common.

    Attributes:
        attribute: fully qualified name.
        distinct: no two may have a value in common; otherwise all must have one in common.
        requests: (``request`` or ``request/subrequest``); empty = all of the claim.
    """

    attribute: str
    distinct: bool = False
    requests: frozenset[str] = frozenset()

    def applies(self, request: Request, alternative: Alternative) -> bool:
        """Whether devices of an alternative are bound by it."""
        return not self.requests or request.name in self.requests or alternative.name in self.requests


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim without an allocation. ``name`` is for messages."""

    name: str
    requests: tuple[Request, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    config: tuple[Configuration, ...] = ()
