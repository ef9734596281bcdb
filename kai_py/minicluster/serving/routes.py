"""From a URL to what it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote

from kai_py.minicluster.refusals import bad_request, no_such_path

Query = dict[str, str]


@dataclass(frozen=True, slots=True)
class Route:
    """A resource path, taken apart. ``name`` and ``subresource`` are empty for a collection."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str
    query: Query = field(default_factory=dict)

    def flag(self, key: str) -> bool:
        """A boolean query parameter."""
        return self.query.get(key, "").lower() in ("true", "1")

    def number(self, key: str) -> int | None:
        """A non-negative numeric query parameter.

        Raises:
            RefusedError: 400, not a number.
        """
        text = self.query.get(key, "")
        if not text:
            return None
        if not text.isdecimal():
            raise bad_request(f'invalid value for query parameter {key}: "{text}"')
        return int(text)


def split_target(target: str) -> tuple[list[str], Query]:
    """Path segments and query of a request target."""
    path, _, query = target.partition("?")
    segments = [unquote(part) for part in path.split("/") if part]
    return segments, dict(parse_qsl(query, keep_blank_values=True)) if query else {}


def resource_route(segments: list[str], query: Query) -> Route:
    """The resource below ``/api/v1`` or ``/apis/<group>/<version>``.

    Raises:
        RefusedError: 404, no resource path.
    """
    if segments[0] == "api":
        group, version, rest = "", segments[1], segments[2:]
    else:
        group, version, rest = segments[1], segments[2], segments[3:]
    namespace = ""
    if len(rest) >= 3 and rest[0] == "namespaces" and not (not group and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3:
        raise no_such_path()
    plural, name, subresource = rest + [""] * (3 - len(rest))
    if (group, plural, name) == ("", "bindings", ""):
        plural, subresource = "pods", "binding"  # the older address of a binding; the pod is named in the body
    return Route(group, version, namespace, plural, name, subresource, query)


def watch_route(route: Route) -> Route:
    """A watch on one object is a watch on its collection with the name as field selector."""
    if not route.name:
        return route
    selector = ",".join(filter(None, (route.query.get("fieldSelector"), f"metadata.name={route.name}")))
    return replace(route, name="", query=route.query | {"fieldSelector": selector})
