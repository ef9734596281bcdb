"""How a function of the language is declared: a signature for the checker, and what computes it.

A signature is written ``find(string, string) -> string``; ``<string>.find(string) -> string`` is a method, whose
receiver is the first argument. Capital letters are type parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kai_py.core.dra.cel.quantity import Quantity
from kai_py.core.dra.cel.semver import Semver
from kai_py.core.dra.cel.values import (
    Address,
    Duration,
    Format,
    Network,
    Optional,
    Timestamp,
    TypeValue,
    UInt,
    Url,
    Value,
)

#: Computes a function: takes as many values as the signature says. mypy cannot relate the two, hence the ellipsis.
Implementation = Callable[..., Value]

_SIGNATURE: Final = re.compile(
    r"(?:<(?P<receiver>.+)>\.)?(?P<name>[@\w.?\[\]]+)\((?P<parameters>.*)\) -> (?P<result>.+)"
)
_KINDS: Final[dict[str, type]] = {
    "bool": bool,
    "int": int,
    "uint": UInt,
    "double": float,
    "string": str,
    "bytes": bytes,
    "null": type(None),
    "timestamp": Timestamp,
    "duration": Duration,
    "type": TypeValue,
    "kubernetes.Quantity": Quantity,
    "kubernetes.Semver": Semver,
    "kubernetes.URL": Url,
    "kubernetes.NamedFormat": Format,
    "net.IP": Address,
    "net.CIDR": Network,
}


@dataclass(frozen=True)
class Overload:
    """One way to call a function.

    Attributes:
        signature: as written; also the id of the overload.
        name: of the function, with its namespace.
        method: whether it is called on a receiver.
        parameters: CEL types, the receiver first.
        result: CEL type.
        kinds: the Python types that the parameters have at run time; ``object`` takes any.
        compute: the implementation.
        declare: whether the checker has to be told; it knows the standard functions.
    """

    signature: str
    name: str
    method: bool
    parameters: tuple[str, ...]
    result: str
    kinds: tuple[type, ...]
    compute: Implementation
    declare: bool


def overload(signature: str, compute: Implementation, *, declare: bool = False) -> Overload:
    """Read a signature."""
    match = _SIGNATURE.fullmatch(signature)
    assert match is not None, signature
    parameters = _split(match["parameters"])
    if match["receiver"]:
        parameters = (match["receiver"], *parameters)
    return Overload(
        signature=signature,
        name=match["name"],
        method=bool(match["receiver"]),
        parameters=parameters,
        result=match["result"],
        kinds=tuple(map(_kind, parameters)),
        compute=compute,
        declare=declare,
    )


def _split(parameters: str) -> tuple[str, ...]:
    """At commas outside angle brackets."""
    return tuple(part.strip() for part in re.split(r",\s*(?![^<]*>)", parameters) if part.strip())


def _kind(parameter: str) -> type:
    if parameter.startswith("list"):
        return list
    if parameter.startswith("map"):
        return dict
    return Optional if parameter.startswith("optional_type") else _KINDS.get(parameter, object)
