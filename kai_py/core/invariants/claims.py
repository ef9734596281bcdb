"""Checkers of claims: no device is given twice, counters and capacities hold, and who starts has all its devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kai_py.core.dra.allocation import Allocation, ClaimAllocation
from kai_py.core.dra.claims import ALL
from kai_py.core.dra.ledger import Take
from kai_py.core.dra.table import MAX_CONSUMERS, ClaimTable, Held
from kai_py.core.invariants.outcome import Outcome, Violation
from kai_py.core.result import Bind, Evict, Nominate
from kai_py.core.tables.pods import NONE, USING, PodState
from kai_py.core.tables.requirements import matches_term


@dataclass
class _Given:
    """Devices that decisions give to a claim: by which pod, on which node, and whether it can start now."""

    pod: str
    node: int
    now: bool
    allocation: ClaimAllocation


def claims(outcome: Outcome) -> Iterator[Violation]:
    """Every claim of whoever is placed has devices, once, where the pod goes, and nobody else has them."""
    table = outcome.snapshot.claims
    if table is None:
        return
    given, wrong = _given(outcome, table)
    yield from wrong
    now, later = _users(outcome, table)
    held_now: dict[int, Held] = {}
    held_later: dict[int, Held] = {}
    for row, claim in enumerate(table.claims):
        if claim.held is not None:
            held_now[row] = claim.held
            if later[row] or claim.others or not now[row] + claim.leaving:
                held_later[row] = claim.held
    for row, one in given.items():
        if row in held_later or (one.now and row in held_now):
            yield Violation(one.pod, f"gives devices to {table.claims[row].key}, which has some")
        yield from _asked(table, row, one)
    yield from _places(outcome, table, given, held_later, later)
    starts = {row: one for row, one in given.items() if one.now}
    yield from _overfull(table, held_now, starts, "now")
    yield from _overfull(table, held_later, given, "later")


def _given(outcome: Outcome, table: ClaimTable) -> tuple[dict[int, _Given], list[Violation]]:
    nodes = {name: row for row, name in enumerate(outcome.snapshot.nodes.names)}
    rows = {claim.key: row for row, claim in enumerate(table.claims)}
    given: dict[int, _Given] = {}
    wrong = []
    for decision in outcome.result.decisions:
        for one in () if isinstance(decision, Evict) else decision.claims:
            row, allocation = rows.get(one.claim), one.allocation
            own = table.of_pod.get(outcome.row_of_pod[decision.pod], ())
            if row is None or row not in own or row in given or not isinstance(allocation, ClaimAllocation):
                wrong.append(Violation(decision.pod, f"gives devices to {one.claim}, which is not its to serve"))
                continue
            given[row] = _Given(decision.pod, nodes[decision.node], isinstance(decision, Bind), allocation)
    return given, wrong


def _users(outcome: Outcome, table: ClaimTable) -> tuple[Counter[int], Counter[int]]:
    """Pods on nodes per claim: now, and those of them that stay."""
    pods, evicted = outcome.snapshot.pods, set(outcome.evicted.tolist())
    now, later = Counter[int](), Counter[int]()
    for pod, rows in table.of_pod.items():
        if pods.state.item(pod) in USING and pods.node_idx.item(pod) != NONE:
            now.update(rows)
            if pod not in evicted and pods.state.item(pod) != PodState.RELEASING:
                later.update(rows)
    return now, later


def _places(
    outcome: Outcome, table: ClaimTable, given: Mapping[int, _Given], held: Mapping[int, Held], later: Counter[int]
) -> Iterator[Violation]:
    nodes = outcome.snapshot.nodes
    users = later.copy()
    for decision in outcome.result.decisions:
        if not isinstance(decision, Bind | Nominate):
            continue
        node = nodes.names.index(decision.node)
        for row in table.of_pod.get(outcome.row_of_pod[decision.pod], ()):
            claim = table.claims[row]
            users[row] += 1
            if users[row] + claim.others - claim.spared > MAX_CONSUMERS:
                yield Violation(decision.pod, f"is more than {claim.key} can serve")
            if row in held:
                terms = held[row].terms
            elif row in given:
                term = given[row].allocation.term
                terms = None if term is None else (term,)
                if isinstance(decision, Bind) and not given[row].now:
                    yield Violation(decision.pod, f"starts before {claim.key} has devices")
            elif claim.extended is not None and claim.extended.at(node) is None:
                continue  # the node serves it without devices
            else:
                yield Violation(decision.pod, f"is placed though {claim.key} has no devices")
                continue
            if terms is not None and not any(matches_term(term, nodes).item(node) for term in terms):
                yield Violation(decision.pod, f"goes to {decision.node}, from where {claim.key} cannot be used")


def _asked(table: ClaimTable, row: int, one: _Given) -> Iterator[Violation]:
    """As many devices as one alternative of every request says, all of which the node sees."""
    inventory, claim = table.inventory, table.claims[row]
    seen = set(inventory.at(one.node).rows)
    names = Counter(device.request for device in one.allocation.devices)
    for device in one.allocation.devices:
        if device.row not in seen:
            yield Violation(one.pod, f"gets {device.device} for {claim.key}, which its node does not see")
    asked = claim.asked if claim.extended is None else claim.extended.at(one.node)
    if asked is None:
        yield Violation(one.pod, f"gets devices for {claim.key}, which its node serves without")
        return
    for request in asked.requests:
        if not any(way.count in (ALL, names[way.name]) for way in request.alternatives):
            yield Violation(one.pod, f"gets the wrong number of devices for {request.name} of {claim.key}")


def _overfull(
    table: ClaimTable, held: Mapping[int, Held], given: Mapping[int, _Given], when: str
) -> Iterator[Violation]:
    """Devices, capacities and counters of which more is taken than there is, as far as decisions take of them."""
    inventory = table.inventory
    new = {row: Allocation((one.allocation,)).takes(inventory) for row, one in given.items()}
    everything = [take for takes in (*(one.takes for one in held.values()), *new.values()) for take in takes]
    whole, parts, consumed = Counter[int](), Counter[int](), Counter[tuple[int, str]]()
    for take in everything:
        (parts if take.shared else whole)[take.identity] += 1
        consumed.update({(take.identity, name): amount for name, amount in take.consumed})
    used = Counter[int]()
    for identity in {*whole, *parts}:
        used.update(dict(inventory.charges_of_id[identity]))
    for row, takes in new.items():
        for what in _wrong(table, takes, whole, parts, consumed, used):
            yield Violation(given[row].pod, f"{what} {when}")


def _wrong(
    table: ClaimTable,
    takes: Iterable[Take],
    whole: Counter[int],
    parts: Counter[int],
    consumed: Counter[tuple[int, str]],
    used: Counter[int],
) -> Iterator[str]:
    inventory = table.inventory
    for take in takes:
        identity = take.identity
        name = inventory.ids[identity].device
        if whole[identity] + bool(parts[identity]) > 1:
            yield f"gets {name}, which somebody else has"
        capacities = inventory.devices[inventory.devices_of_id[identity][0]].capacities
        for capacity, _ in take.consumed:
            if consumed[identity, capacity] > capacities[capacity].value:
                yield f"gets a part of {name}, beyond its {capacity}"
        for counter, _ in inventory.charges_of_id[identity]:
            if used[counter] > inventory.counters.totals[counter]:
                yield f"gets {name}, beyond counter {'/'.join(inventory.counters.names[counter])}"


CLAIMS = (claims,)
