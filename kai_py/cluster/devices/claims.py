"""ResourceClaims and DeviceClasses to the core's claims and classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from kai_py.api.resource import ALL as API_ALL
from kai_py.api.resource import (
    EXACT_COUNT,
    DeviceClaim,
    DeviceConfiguration,
    DeviceConstraint,
    DeviceRequest,
    DeviceSelector,
    ExactRequest,
    ResourceClaim,
    SubRequest,
)
from kai_py.api.resource import DeviceClass as ApiClass
from kai_py.cluster.devices.amounts import amounts
from kai_py.core.dra.claims import ALL, Alternative, Claim, Configuration, Constraint, DeviceClass, Request
from kai_py.core.dra.devices import Device
from kai_py.core.dra.selectors import Selector, SelectorError
from kai_py.core.tables.classes import Toleration
from kai_py.errors import Fault, MalformedObjectError

#: Makes a selector of an expression, or raises ``SelectorError``. Equal expressions should give equal selectors.
Compile = Callable[[str], Selector]

#: So many specs are remembered.
_REMEMBERED: Final = 4096
#: The API server lets no more pass (``resource.k8s.io/v1``).
_MOST: Final = {
    "requests": 32,
    "constraints": 32,
    "config": 32,
    "selectors": 32,
    "firstAvailable": 8,
    "tolerations": 16,
}


class BrokenSelector(msgspec.Struct, frozen=True):
    """A selector that could not be compiled. It fails when it is asked: a claim that never asks it is not harmed."""

    message: str

    def matches(self, device: Device) -> bool:  # noqa: ARG002  # the protocol's signature
        """See :class:`Selector`."""
        raise SelectorError(self.message)


class ClassMissingError(MalformedObjectError):
    """A claim names a class that does not exist (yet)."""

    code = "DeviceClassMissing"


class ClaimReader:
    """Reads claims, and remembers their specs: claims of one template are all alike, and so share their requests.

    Args:
        compile_selector: see ``Compile``.
    """

    def __init__(self, compile_selector: Compile) -> None:
        self._compile = compile_selector
        self._selectors: dict[str, Selector] = {}
        self._classes: dict[str, DeviceClass] = {}
        self._claims: dict[bytes, Claim | MalformedObjectError] = {}
        # JSON has whole numbers of any size, which somebody's parameters may hold; absent maps are proxies, which the
        # encoder does not know.
        self._encoder = msgspec.json.Encoder(enc_hook=dict)

    def put_class(self, found: ApiClass) -> None:
        """Take in a class, new or changed. An allocation that was made before stays as it was made.

        Raises:
            MalformedObjectError: a selector is of a kind that nobody knows; the class is as if it were not there.
        """
        name = found.metadata.name
        self.drop_class(name)
        where = f"DeviceClass {name}"
        selectors = self._all(found.spec.selectors, where, "spec.selectors")
        self._classes[name] = DeviceClass(name, selectors, tuple(map(_configuration, found.spec.config)))

    def device_class(self, name: str) -> DeviceClass | None:
        """A class by its name."""
        return self._classes.get(name)

    def drop_class(self, name: str) -> None:
        """Forget a class."""
        self._classes.pop(name, None)
        self._claims.clear()

    def read(self, claim: ResourceClaim) -> Claim:
        """Read a claim of which nothing is allocated yet.

        Raises:
            ClassMissingError: it names a class that is not there.
            MalformedObjectError: it asks for something that we do not know; names the field. Guessing would allocate
                what nobody wanted.
        """
        meta = claim.metadata
        where = f"ResourceClaim {meta.namespace}/{meta.name}" if meta.namespace else f"ResourceClaim {meta.name}"
        return self.read_spec(claim.spec.devices, where)

    def read_spec(self, spec: DeviceClaim, where: str) -> Claim:
        """The same for a claim that does not exist yet; ``where`` is how messages name it."""
        text = self._encoder.encode(spec)
        known = self._claims.get(text)
        if known is None:
            if len(self._claims) >= _REMEMBERED:
                self._claims.clear()
            try:
                known = self._read(spec)
            except MalformedObjectError as error:
                known = error
            self._claims[text] = known
        if isinstance(known, MalformedObjectError):
            raise type(known)([Fault(where, fault.field, fault.message) for fault in known.faults])
        return Claim(where, known.requests, known.constraints, known.config)

    def _read(self, spec: DeviceClaim) -> Claim:
        for field, found in (("requests", spec.requests), ("constraints", spec.constraints), ("config", spec.config)):
            _limit(found, f"spec.devices.{field}")
        return Claim(
            name="",
            requests=tuple(self._request(one, f"spec.devices.requests[{i}]") for i, one in enumerate(spec.requests)),
            constraints=tuple(
                _constraint(one, f"spec.devices.constraints[{i}]") for i, one in enumerate(spec.constraints)
            ),
            config=tuple(map(_configuration, spec.config)),
        )

    def _request(self, request: DeviceRequest, field: str) -> Request:
        if request.exactly is not None:
            if request.first_available:
                raise _fault(field, "exactly and firstAvailable exclude each other")
            return Request(request.name, (self._alternative(request.exactly, request.name, f"{field}.exactly"),))
        if not request.first_available:
            raise _fault(field, "it has neither exactly nor firstAvailable: a kind of request that is not known here")
        _limit(request.first_available, f"{field}.firstAvailable")
        alternatives = [
            self._alternative(one, f"{request.name}/{one.name}", f"{field}.firstAvailable[{i}]")
            for i, one in enumerate(request.first_available)
        ]
        return Request(request.name, tuple(alternatives), listed=True)

    def _alternative(self, wanted: SubRequest, name: str, field: str) -> Alternative:
        if not wanted.device_class_name:
            raise _fault(f"{field}.deviceClassName", "there is none: a kind of request that is not known here")
        _limit(wanted.selectors, f"{field}.selectors")
        _limit(wanted.tolerations, f"{field}.tolerations")
        device_class = self._classes.get(wanted.device_class_name)
        if device_class is None:
            message = f"there is no DeviceClass {wanted.device_class_name!r}"
            raise ClassMissingError([Fault("", f"{field}.deviceClassName", message)])
        return Alternative(
            name=name,
            device_class=device_class,
            selectors=self._all(wanted.selectors, "", f"{field}.selectors"),
            count=_count(wanted, field),
            admin=isinstance(wanted, ExactRequest) and bool(wanted.admin_access),
            tolerations=tuple(Toleration(t.key, t.operator or "Equal", t.value, t.effect) for t in wanted.tolerations),
            capacity={}
            if wanted.capacity is None
            else amounts(wanted.capacity.requests, "", f"{field}.capacity.requests"),
        )

    def _all(self, selectors: tuple[DeviceSelector, ...], where: str, field: str) -> tuple[Selector, ...]:
        found = []
        for i, selector in enumerate(selectors):
            if selector.cel is None:
                raise MalformedObjectError([Fault(where, f"{field}[{i}]", "only CEL expressions can select devices")])
            found.append(self._selector(selector.cel.expression))
        return tuple(found)

    def _selector(self, expression: str) -> Selector:
        known = self._selectors.get(expression)
        if known is None:
            if len(self._selectors) >= _REMEMBERED:
                self._selectors.clear()
            try:
                known = self._compile(expression)
            except SelectorError as error:
                known = BrokenSelector(str(error))
            self._selectors[expression] = known
        return known


def _limit(found: Sequence[object], field: str) -> None:
    most = _MOST[field.rpartition(".")[2]]
    if len(found) > most:
        raise _fault(field, f"there may be {most}, not {len(found)}")


def _fault(field: str, message: str) -> MalformedObjectError:
    return MalformedObjectError([Fault("", field, message)])


def _count(wanted: SubRequest, field: str) -> int:
    match wanted.allocation_mode:
        case mode if mode == EXACT_COUNT:
            count = 1 if wanted.count is None else wanted.count
            if count < 1:
                raise _fault(f"{field}.count", f"must be greater than zero, not {count}")
            return count
        case mode if mode == API_ALL:
            return ALL
        case mode:
            raise _fault(f"{field}.allocationMode", f"{mode!r} is not known here, only ExactCount and All")


def _constraint(constraint: DeviceConstraint, field: str) -> Constraint:
    requests = frozenset(constraint.requests)
    if constraint.match_attribute is not None:
        return Constraint(constraint.match_attribute, requests=requests)
    if constraint.distinct_attribute is not None:
        return Constraint(constraint.distinct_attribute, distinct=True, requests=requests)
    raise _fault(field, "it has neither matchAttribute nor distinctAttribute: a kind of constraint not known here")


def _configuration(config: DeviceConfiguration) -> Configuration:
    return Configuration(config.opaque, config.requests)
