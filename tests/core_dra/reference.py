"""The rules of allocation as a check of finished assignments, and the search that tries all of them."""

from itertools import combinations, product

from kai_py.core.dra.capacity import taking
from kai_py.core.dra.claims import ALL, MAX_DEVICES
from kai_py.core.dra.devices import UNIT
from kai_py.core.dra.taints import tolerated


def accepts(alternative, device):
    return all(one.matches(device) for one in (*alternative.device_class.selectors, *alternative.selectors))


def problems(claims, chosen, assignment, inventory, ledger, rows, room=None):
    """What is wrong with an assignment. ``assignment[c][r]``: rows of devices; ``chosen[c][r]``: the alternative."""
    holders, charged, consumed, shared = {}, list(ledger.used), {}, set()
    for c, claim in enumerate(claims):
        of_claim = []
        for r, wanted in enumerate(claim.requests):
            alternative = wanted.alternatives[chosen[c][r]]
            devices = assignment[c][r]
            if alternative.count == ALL:
                meant = meant_by_all(alternative, inventory, ledger, rows)
                if not meant or set(devices) != set(meant):
                    yield "not all"
            elif len(devices) != alternative.count:
                yield "count"
            if len(set(devices)) != len(devices):
                yield "the same device twice in a request"
            for row in devices:
                device, identity = inventory.devices[row], inventory.id_idx[row]
                if row not in rows:
                    yield "not of the node"
                if not accepts(alternative, device):
                    yield "selector"
                if not tolerated(device, alternative.tolerations):
                    yield "taint"
                amounts = taking(alternative.capacity, device)
                if amounts is None:
                    yield "capacity that cannot be given"
                    continue
                if device.shareable:
                    if not alternative.admin and ledger.whole[identity]:
                        yield "taken as a whole"
                    for name, amount in amounts:
                        consumed[identity, name] = consumed.get((identity, name), 0) + amount
                    charge = identity not in shared and not ledger.shares[identity]
                    shared.add(identity)
                else:
                    of_claim.append(identity)
                    if not alternative.admin:
                        if ledger.whole[identity] or ledger.shares[identity]:
                            yield "in use"
                        holders[identity] = holders.get(identity, 0) + 1
                    charge = True
                for counter, amount in inventory.charges[row] if charge else ():
                    charged[counter] += amount
                    if charged[counter] > inventory.counters.totals[counter]:
                        yield "counter"
        if len(of_claim) != len(set(of_claim)):
            yield "twice in a claim"
        if sum(map(len, assignment[c])) > MAX_DEVICES:
            yield "too many"
        yield from constraint_problems(claim, chosen[c], assignment[c], inventory)
    if any(count > 1 for count in holders.values()):
        yield "two claims"
    capacities = {
        identity: inventory.devices[rows_of[0]].capacities for identity, rows_of in enumerate(inventory.devices_of_id)
    }
    for (identity, name), amount in consumed.items():
        if ledger.consumed.get(identity, {}).get(name, 0) + amount > capacities[identity][name].value:
            yield "capacity"
    if room is not None:
        yield from node_problems(claims, chosen, assignment, inventory, room)


def node_problems(claims, chosen, assignment, inventory, room):
    """``room``: what is left of the node's memory, in whole units; claims are rounded up one by one."""
    total = 0
    for c, claim in enumerate(claims):
        taken = 0
        for r, wanted in enumerate(claim.requests):
            alternative = wanted.alternatives[chosen[c][r]]
            for row in () if alternative.admin else assignment[c][r]:
                device = inventory.devices[row]
                for share in device.node_shares:
                    if not share.capacity:
                        taken += share.multiplier
                        continue
                    amounts = dict(taking(alternative.capacity, device)) if device.shareable else {}
                    used = amounts.get(share.capacity, device.capacities[share.capacity].value)
                    taken += used * share.multiplier // UNIT
        total += -(-taken // UNIT)
    if total > room:
        yield "node"


def constraint_problems(claim, chosen, assignment, inventory):
    for constraint in claim.constraints:
        values = []
        for r, wanted in enumerate(claim.requests):
            alternative = wanted.alternatives[chosen[r]]
            if not constraint.requests or {wanted.name, alternative.name} & constraint.requests:
                for row in assignment[r]:
                    found = inventory.devices[row].attribute(constraint.attribute)
                    values.append({(found.kind, value) for value in found.values} if found and found.kind else set())
        if any(not one for one in values):
            yield "attribute missing"
        elif constraint.distinct:
            if any(one & other for one, other in combinations(values, 2)):
                yield "not distinct"
        elif values and not set.intersection(*values):
            yield "no match"


def meant_by_all(alternative, inventory, ledger, rows):
    meant = []
    for row in rows:
        device = inventory.devices[row]
        if not accepts(alternative, device):
            continue
        amounts = taking(alternative.capacity, device)
        if amounts is None:
            continue
        left = ledger.consumed.get(inventory.id_idx[row], {})
        if device.shareable and any(
            left.get(name, 0) + amount > device.capacities[name].value for name, amount in amounts
        ):
            continue
        meant.append(row)
    return meant


def brute_force(claims, inventory, ledger, rows, room=None):
    """The first choice of alternatives for which any assignment is right, in their order; None if there is none."""
    slots = [(c, r) for c, claim in enumerate(claims) for r in range(len(claim.requests))]
    for picked in product(*(range(len(claims[c].requests[r].alternatives)) for c, r in slots)):
        chosen = [[0] * len(claim.requests) for claim in claims]
        options = []
        for (c, r), number in zip(slots, picked, strict=True):
            chosen[c][r] = number
            alternative = claims[c].requests[r].alternatives[number]
            fitting = [row for row in rows if accepts(alternative, inventory.devices[row])]
            if alternative.count == ALL:
                options.append([tuple(meant_by_all(alternative, inventory, ledger, rows))])
            else:
                options.append(list(combinations(fitting, alternative.count)))
        for devices in product(*options):
            assignment = [[()] * len(claim.requests) for claim in claims]
            for (c, r), one in zip(slots, devices, strict=True):
                assignment[c][r] = one
            if next(problems(claims, chosen, assignment, inventory, ledger, rows, room), None) is None:
                return picked
    return None
