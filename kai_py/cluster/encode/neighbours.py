"""What a pod asks of other pods: affinities, spreading and ports of the node, with selectors that are understood."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from kai_py.api.pod import Pod, PodAffinity, PodAffinityTerm, TopologySpreadConstraint
from kai_py.api.selectors import LabelSelector, Requirement
from kai_py.cluster.encode.selectors import Selector
from kai_py.core.tables.neighbours import Port
from kai_py.errors import Fault, MalformedObjectError

_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
#: So many different wishes are remembered.
_REMEMBERED: Final = 4096
_WEIGHTS: Final = range(1, 101)


@dataclass(frozen=True, slots=True)
class Matcher:
    """Pods by namespaces and labels.

    Attributes:
        namespaces: those that are named.
        namespace_selector: of more namespaces; None = no more.
        selector: of labels; None = nobody.
    """

    namespaces: frozenset[str]
    namespace_selector: Selector | None
    selector: Selector | None

    def covers(self, namespace: str, labels: Callable[[str], Mapping[str, str]]) -> bool:
        """Whether pods of a namespace may be meant; ``labels`` tells those of a namespace."""
        if namespace in self.namespaces:
            return True
        return self.namespace_selector is not None and self.namespace_selector.matches(labels(namespace))

    def __str__(self) -> str:
        if self.selector is None:
            return "no pods"
        which = str(self.selector)
        pods = f"pods {which}" if which else "all pods"
        if self.namespace_selector is not None:
            spaces = str(self.namespace_selector)
            return f"{pods} of {f'namespaces {spaces}' if spaces else 'all namespaces'}"
        return pods if len(self.namespaces) == 1 else f"{pods} of namespaces {', '.join(sorted(self.namespaces))}"


class AskedTerm(NamedTuple):
    """Pods, and the label of nodes whose values are the domains."""

    key: str
    matcher: Matcher


class AskedSpread(NamedTuple):
    """A constraint of spreading as ``tables.neighbours.Spread`` has it; without a matcher nobody is counted."""

    key: str
    matcher: Matcher | None
    counts_itself: bool
    max_skew: int
    min_domains: int
    hard: bool
    honors_affinity: bool
    honors_taints: bool
    default: bool = False
    lenient: bool = False


class Asks(NamedTuple):
    """All that a pod asks of others."""

    affinity: tuple[AskedTerm, ...] = ()
    anti: tuple[AskedTerm, ...] = ()
    wishes: tuple[tuple[int, AskedTerm], ...] = ()
    spreads: tuple[AskedSpread, ...] = ()
    ports: tuple[Port, ...] = ()

    def matchers(self) -> Iterator[Matcher]:
        """All matchers, some maybe several times."""
        for term in (*self.affinity, *self.anti, *(term for _, term in self.wishes)):
            yield term.matcher
        for spread in self.spreads:
            if spread.matcher is not None:
                yield spread.matcher


NOTHING: Final = Asks()


class AsksReader:
    """Reads what pods ask of others, and remembers it."""

    def __init__(self) -> None:
        self._known: dict[bytes, Asks] = {}
        self._encoder = msgspec.msgpack.Encoder(enc_hook=dict)  # absent maps are proxies, which it does not know

    def read(self, pod: Pod, *, foreign: bool) -> Asks:
        """What a pod asks; see :func:`asks_of`."""
        spec, affinity = pod.spec, pod.spec.affinity
        near = affinity is not None and (affinity.pod_affinity is not None or affinity.pod_anti_affinity is not None)
        spreads = bool(spec.topology_spread_constraints) and not foreign
        ports = ports_of(pod)
        if not (near or spreads or ports):
            return NOTHING
        text = self._encoder.encode(
            (
                pod.metadata.namespace,
                (affinity.pod_affinity, affinity.pod_anti_affinity) if affinity is not None else None,
                spec.topology_spread_constraints if spreads else (),
                [(port.number, port.protocol, port.address) for port in ports],
                sorted(pod.metadata.labels.items()) if spreads or _merges(affinity) else (),
                foreign,
                bool(spec.node_name),
            )
        )
        found = self._known.get(text)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[text] = asks_of(pod, foreign=foreign)
        return found


def _merges(affinity: object) -> bool:
    return b"LabelKeys" in msgspec.json.encode(affinity)


def asks_of(pod: Pod, *, foreign: bool = False) -> Asks:
    """Read what a pod asks of others; of one that has its node, what cannot be understood is left out.

    Args:
        pod: any pod.
        foreign: nobody asks us how evenly it is spread.

    Raises:
        MalformedObjectError: with all faults of a pod that waits.
    """
    reader = _Reader(pod)
    affinity = pod.spec.affinity
    near = affinity.pod_affinity if affinity is not None and affinity.pod_affinity is not None else PodAffinity()
    far = affinity.pod_anti_affinity if affinity is not None and affinity.pod_anti_affinity else PodAffinity()
    asks = Asks(
        affinity=reader.terms(near, "spec.affinity.podAffinity"),
        anti=reader.terms(far, "spec.affinity.podAntiAffinity"),
        wishes=(
            *reader.wishes(near, "spec.affinity.podAffinity", 1),
            *reader.wishes(far, "spec.affinity.podAntiAffinity", -1),
        ),
        spreads=() if foreign else reader.spreads(),
        ports=ports_of(pod),
    )
    if reader.faults and not pod.spec.node_name:
        raise MalformedObjectError(reader.faults)
    return asks


def ports_of(pod: Pod) -> tuple[Port, ...]:
    """Ports of the node that a pod takes as long as it runs; with the node's own network, all that it names."""
    network = pod.spec.host_network
    sidecars = [one for one in pod.spec.init_containers if one.restart_policy == "Always"]
    found = [
        Port(number, port.protocol or "TCP", port.host_ip or "0.0.0.0")  # noqa: S104  # what an empty one means
        for container in (*pod.spec.containers, *sidecars)
        for port in container.ports
        if (number := port.host_port or (port.container_port if network else 0)) > 0
    ]
    return tuple(sorted(set(found), key=lambda port: (port.number, port.protocol, port.address))) if found else ()


class _Reader:
    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._where = f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
        self.faults: list[Fault] = []

    def _selector(self, selector: LabelSelector, field: str) -> Selector:
        return Selector.of(selector, where=self._where, field=field)

    def _check(self, field: str, message: str, *, fine: bool) -> None:
        if not fine:
            raise MalformedObjectError([Fault(self._where, field, message)])

    def terms(self, affinity: PodAffinity, field: str) -> tuple[AskedTerm, ...]:
        """The required terms."""
        found = []
        for row, term in enumerate(affinity.required):
            with self._noting_faults():
                found.append(self._term(term, f"{field}.{_REQUIRED}[{row}]"))
        return tuple(found)

    def wishes(self, affinity: PodAffinity, field: str, sign: int) -> tuple[tuple[int, AskedTerm], ...]:
        """The preferred terms with their weights."""
        found = []
        for row, wish in enumerate(affinity.preferred):
            where = f"{field}.{_PREFERRED}[{row}]"
            with self._noting_faults():
                fine = wish.weight in _WEIGHTS
                self._check(f"{where}.weight", f"should be 1 to 100, not {wish.weight}", fine=fine)
                found.append((sign * wish.weight, self._term(wish.pod_affinity_term, f"{where}.podAffinityTerm")))
        return tuple(found)

    @contextmanager
    def _noting_faults(self) -> Iterator[None]:
        try:
            yield
        except MalformedObjectError as error:
            self.faults += error.faults

    def _term(self, term: PodAffinityTerm, field: str) -> AskedTerm:
        self._check(f"{field}.topologyKey", "should name a label of nodes", fine=bool(term.topology_key))
        selector = None
        if term.label_selector is not None:
            merged = _merged(term.label_selector, self._pod, term.match_label_keys, "In")
            merged = _merged(merged, self._pod, term.mismatch_label_keys, "NotIn")
            selector = self._selector(merged, f"{field}.labelSelector")
        spaces = None
        if term.namespace_selector is not None:
            spaces = self._selector(term.namespace_selector, f"{field}.namespaceSelector")
        own = not term.namespaces and spaces is None
        namespaces = frozenset({self._pod.metadata.namespace} if own else term.namespaces)
        return AskedTerm(term.topology_key, Matcher(namespaces, spaces, selector))

    def spreads(self) -> tuple[AskedSpread, ...]:
        """The constraints of spreading."""
        found = []
        for row, one in enumerate(self._pod.spec.topology_spread_constraints):
            with self._noting_faults():
                found.append(self._spread(one, f"spec.topologySpreadConstraints[{row}]"))
        return tuple(found)

    def _spread(self, one: TopologySpreadConstraint, field: str) -> AskedSpread:
        self._check(f"{field}.topologyKey", "should name a label of nodes", fine=bool(one.topology_key))
        self._check(f"{field}.maxSkew", f"should be at least 1, not {one.max_skew}", fine=one.max_skew > 0)
        least = 1 if one.min_domains is None else one.min_domains
        self._check(f"{field}.minDomains", f"should be at least 1, not {least}", fine=least > 0)
        unsatisfiable = ("DoNotSchedule", "ScheduleAnyway")
        self._check(
            f"{field}.whenUnsatisfiable",
            f"should be {' or '.join(unsatisfiable)}, not {one.when_unsatisfiable[:80]!r}",
            fine=one.when_unsatisfiable in unsatisfiable,
        )
        selector = None
        if one.label_selector is not None:
            merged = _merged(one.label_selector, self._pod, one.match_label_keys, "In")
            selector = self._selector(merged, f"{field}.labelSelector")
        # kube-scheduler counts nobody for a selector without requirements, though that selects every pod.
        counting = selector is not None and bool(selector.labels or selector.expressions)
        spaces = frozenset({self._pod.metadata.namespace})
        return AskedSpread(
            key=one.topology_key,
            matcher=Matcher(spaces, None, selector) if counting else None,
            counts_itself=selector is not None and selector.matches(self._pod.metadata.labels),
            max_skew=one.max_skew,
            min_domains=least,
            hard=one.when_unsatisfiable == "DoNotSchedule",
            honors_affinity=(one.node_affinity_policy or "Honor") == "Honor",
            honors_taints=one.node_taints_policy == "Honor",
        )


def _merged(selector: LabelSelector, pod: Pod, keys: tuple[str, ...], operator: str) -> LabelSelector:
    """The selector with what ``matchLabelKeys`` or ``mismatchLabelKeys`` add to it.

    The API server does that when a pod is created; it is done here for manifests that no server has seen.
    """
    labels = pod.metadata.labels
    known = {one.key for one in selector.match_expressions if one.operator == operator}
    known |= set(selector.match_labels) if operator == "In" else set()
    more = tuple(Requirement(key, operator, (labels[key],)) for key in keys if key in labels and key not in known)
    return LabelSelector(selector.match_labels, (*selector.match_expressions, *more)) if more else selector
