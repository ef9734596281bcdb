"""A stand-in for CEL: the handful of expressions that upstream's allocator cases and our own tests use."""

import re
from dataclasses import dataclass

from kai_py.api.quantity import parse_quantity
from kai_py.core.dra.devices import UNIT, Device
from kai_py.core.dra.selectors import SelectorError

_TERM = re.compile(
    r'(?:device\.driver == "(?P<driver>[^"]*)")'
    r"|(?:device\.allowMultipleAllocations == (?P<multiple>true|false))"
    r'|(?:device\.capacity\["(?P<cdomain>[^"]*)"\](?:\.(?P<cid>\w+)|\["(?P<cid2>[^"]*)"\])'
    r'\.compareTo\(quantity\("(?P<amount>[^"]*)"\)\) >= 0)'
    r'|(?:device\.attributes\["(?P<adomain>[^"]*)"\]\.(?P<aid>\w+)(?: == "(?P<value>[^"]*)")?)'
)


@dataclass(frozen=True)
class Expression:
    text: str

    def matches(self, device: Device) -> bool:
        for name, attribute in device.attributes.items():
            if not attribute.kind:
                raise SelectorError(f"attribute {name}: unsupported attribute value")
        return all(self._holds(term, device) for term in self.text.split(" && "))

    def _holds(self, text, device):
        term = _TERM.fullmatch(text)
        if term["driver"] is not None:
            return device.driver == term["driver"]
        if term["multiple"] is not None:
            return device.shareable == (term["multiple"] == "true")
        if term["cdomain"] is not None:
            found = _lookup(device, device.capacities, term["cdomain"], term["cid"] or term["cid2"])
            return found.value >= parse_quantity(term["amount"]) * UNIT
        found = _lookup(device, device.attributes, term["adomain"], term["aid"]).values[0]
        return found == term["value"] if term["value"] is not None else found is True


def compile_expression(text: str) -> Expression:
    for term in text.split(" && "):
        if _TERM.fullmatch(term) is None:
            raise SelectorError(f"undeclared reference to {term!r}")
    return Expression(text)


def _lookup(device, values, domain, name):
    for written in (f"{domain}/{name}", *([name] if domain == device.driver else [])):
        if written in values:
            return values[written]
    raise SelectorError(f"no such key: {name}")
