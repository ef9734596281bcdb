"""IP addresses, CIDRs and URLs, as Kubernetes' CEL libraries know them."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from kai_py.core.dra.cel.bounds import spend
from kai_py.core.dra.cel.errors import EvaluationError
from kai_py.core.dra.cel.library.overload import overload
from kai_py.core.dra.cel.values import Address, Network, Url, Value

_PREFIX: Final = re.compile(r"(.+)/(0|[1-9][0-9]{0,2})", re.ASCII)
_LINK_LOCAL_MULTICAST: Final = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))
_BROADCAST: Final = ipaddress.ip_address("255.255.255.255")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/", re.ASCII)
_ESCAPED: Final = re.compile(r"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9$&+,/:;=@!'()*~._\[\]-])*", re.ASCII)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)


def parse_address(text: str) -> Address:
    """An IP address without zone that is not an IPv4 address in the clothes of IPv6.

    Raises:
        EvaluationError: it is none.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise EvaluationError(f"IP Address {text[:60]!r} parse error during conversion from string") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise EvaluationError(f"IP address {text[:60]!r} with zone value is not allowed")
        if address.ipv4_mapped:
            raise EvaluationError(f"IPv4-mapped IPv6 address {text[:60]!r} is not allowed")
    return Address(address)


def parse_network(text: str) -> Network:
    """An address with the length of its prefix.

    Raises:
        EvaluationError: it is none.
    """
    match = _PREFIX.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        address = parse_address(match[1]).address
        if int(match[2]) > address.max_prefixlen:
            raise ValueError
    except (ValueError, EvaluationError):
        raise EvaluationError(
            f"network address parse error during conversion from string: {text[:60]!r} is not a CIDR"
        ) from None
    return Network(ipaddress.ip_interface(text))


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except EvaluationError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        parse_network(text)
    except EvaluationError:
        return False
    return True


def _is_link_local_multicast(address: Address) -> bool:
    return any(address.address in network for network in _LINK_LOCAL_MULTICAST)


def _is_global_unicast(address: Address) -> bool:
    ip = address.address
    return not (ip.is_unspecified or ip.is_loopback or ip.is_multicast or ip.is_link_local or ip == _BROADCAST)


def _contains(network: Network, address: Address) -> bool:
    return address.address in network.interface.network


def _contains_network(outer: Network, inner: Network) -> bool:
    left, right = outer.interface.network, inner.interface.network
    return left.version == right.version and left.prefixlen <= right.prefixlen and right.network_address in left


def _masked(network: Network) -> Network:
    return Network(ipaddress.ip_interface(str(network.interface.network)))


def parse_url(text: str) -> Url:
    """A URL with a scheme, or a path that begins with ``/``.

    Raises:
        EvaluationError: it is none.
    """
    spend(1 + len(text))
    problem = f"URL parse error during conversion from string: {text[:60]!r} is not an absolute URL"
    absolute = text.startswith("/") or _SCHEME.match(text)
    if not absolute or _CONTROL.search(text) or _BAD_ESCAPE.search(text.partition("?")[0].partition("#")[0]):
        raise EvaluationError(problem)
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # raises when it is no number
    except ValueError:
        raise EvaluationError(problem) from None
    if " " in parts.netloc:
        raise EvaluationError(problem)
    path = parts.path if _ESCAPED.fullmatch(parts.path) else quote(unquote(parts.path), safe="$&+,/:;=@!'()*~")
    return Url(parts, path)


def _is_url(text: str) -> bool:
    try:
        parse_url(text)
    except EvaluationError:
        return False
    return True


def _host(url: Url) -> str:
    return url.parts.netloc.rpartition("@")[2]


def _hostname(url: Url) -> str:
    host = _host(url)
    return host[1 : host.index("]")] if host.startswith("[") else host.partition(":")[0]


def _query(url: Url) -> dict[Value, Value]:
    spend(len(url.parts.query))
    query: dict[Value, list[Value]] = {}
    for key, value in parse_qsl(url.parts.query, keep_blank_values=True):
        query.setdefault(key, []).append(value)
    return dict(query)


OVERLOADS = (
    overload("ip(string) -> net.IP", parse_address, declare=True),
    overload("isIP(string) -> bool", _is_address, declare=True),
    overload("ip.isCanonical(string) -> bool", lambda text: str(parse_address(text).address) == text, declare=True),
    overload("<net.IP>.family() -> int", lambda ip: ip.address.version, declare=True),
    overload("<net.IP>.isUnspecified() -> bool", lambda ip: ip.address.is_unspecified, declare=True),
    overload("<net.IP>.isLoopback() -> bool", lambda ip: ip.address.is_loopback, declare=True),
    overload("<net.IP>.isLinkLocalMulticast() -> bool", _is_link_local_multicast, declare=True),
    overload("<net.IP>.isLinkLocalUnicast() -> bool", lambda ip: ip.address.is_link_local, declare=True),
    overload("<net.IP>.isGlobalUnicast() -> bool", _is_global_unicast, declare=True),
    overload("string(net.IP) -> string", lambda ip: str(ip.address), declare=True),
    overload("cidr(string) -> net.CIDR", parse_network, declare=True),
    overload("isCIDR(string) -> bool", _is_network, declare=True),
    overload("<net.CIDR>.containsIP(net.IP) -> bool", _contains, declare=True),
    overload("<net.CIDR>.containsIP(string) -> bool", lambda net, ip: _contains(net, parse_address(ip)), declare=True),
    overload("<net.CIDR>.containsCIDR(net.CIDR) -> bool", _contains_network, declare=True),
    overload(
        "<net.CIDR>.containsCIDR(string) -> bool",
        lambda outer, inner: _contains_network(outer, parse_network(inner)),
        declare=True,
    ),
    overload("<net.CIDR>.ip() -> net.IP", lambda net: Address(net.interface.ip), declare=True),
    overload("<net.CIDR>.prefixLength() -> int", lambda net: net.interface.network.prefixlen, declare=True),
    overload("<net.CIDR>.masked() -> net.CIDR", _masked, declare=True),
    overload("string(net.CIDR) -> string", lambda net: str(net.interface), declare=True),
    overload("url(string) -> kubernetes.URL", parse_url, declare=True),
    overload("isURL(string) -> bool", _is_url, declare=True),
    overload("<kubernetes.URL>.getScheme() -> string", lambda url: url.parts.scheme, declare=True),
    overload("<kubernetes.URL>.getHost() -> string", _host, declare=True),
    overload("<kubernetes.URL>.getHostname() -> string", _hostname, declare=True),
    overload("<kubernetes.URL>.getPort() -> string", lambda url: str(url.parts.port or ""), declare=True),
    overload("<kubernetes.URL>.getEscapedPath() -> string", lambda url: url.escaped_path, declare=True),
    overload("<kubernetes.URL>.getQuery() -> map<string, list<string>>", _query, declare=True),
)
