"""Slowly: what is wrong with allocations of one pod's claims on a node? From the rules, over plain manifests.

Selectors are not evaluated, nor is it asked whether "all" devices are all of them: this is about what may be taken.
"""

from __future__ import annotations

from collections import Counter

from kai_py.api.quantity import to_units
from tests.reference.feasible import matches


def problems(objects, node, allocations):
    """Sentences about ``allocations``, by name of the claim; nothing if they are right.

    Args:
        objects: the cluster as it was before.
        node: manifest of the node that the pod goes to.
        allocations: what ``status.allocation`` would be.
    """
    pools = _pools(objects)
    claims = {one["metadata"]["name"]: one for one in objects if one["kind"] == "ResourceClaim"}
    before = [result for one in claims.values() for result in _held(one.get("status", {}).get("allocation"))]
    after = [(claims[name], result) for name, one in allocations.items() for result in _results(one)]
    for _, result in after:
        device = pools.get(_pool(result), {}).get("devices", {}).get(result["device"])
        if device is None or not _reaches(device, node):
            yield f"{result['device']} is not there"
            return
    held = [result for one in allocations.values() for result in _held(one)]
    yield from _shared_badly(pools, before, held)
    yield from _counted_badly(pools, before, held)
    for claim, result in after:
        yield from _tainted(pools[_pool(result)]["devices"][result["device"]], _request(claim, result))
    for name, allocation in allocations.items():
        yield from _against(pools, claims[name], list(_results(allocation)))


def _results(allocation):
    return (allocation or {}).get("devices", {}).get("results", ())


def _held(allocation):
    return [one for one in _results(allocation) if not one.get("adminAccess")]


def _pool(result):
    return result["driver"], result["pool"]


def _pools(objects):
    found = {}
    slices = [one["spec"] for one in objects if one["kind"] == "ResourceSlice"]
    for spec in slices:
        key, generation = (spec["driver"], spec["pool"]["name"]), spec["pool"]["generation"]
        newest = max(one["pool"]["generation"] for one in slices if (one["driver"], one["pool"]["name"]) == key)
        if generation == newest:
            pool = found.setdefault(key, {"devices": {}, "sets": {}})
            pool["devices"] |= {
                device["name"]: {**spec, **device} if not spec.get("perDeviceNodeSelection") else device
                for device in spec.get("devices", ())
            }
            pool["sets"] |= {one["name"]: one["counters"] for one in spec.get("sharedCounters", ())}
    return found


def _reaches(device, node):
    name, labels = node["metadata"]["name"], node["metadata"]["labels"]
    terms = device.get("nodeSelector", {}).get("nodeSelectorTerms", ())
    return device.get("allNodes") or device.get("nodeName") == name or any(matches(one, labels, name) for one in terms)


def _shared_badly(pools, before, after):
    taken = Counter((*_pool(one), one["device"]) for one in before + after if "shareID" not in one)
    shared = {(*_pool(one), one["device"]) for one in before + after if "shareID" in one}
    for result in after:
        key = *_pool(result), result["device"]
        if taken[key] + (key in shared) > 1:
            yield f"{result['device']} is in use"
        for name, capacity in pools[_pool(result)]["devices"][result["device"]].get("capacity", {}).items():
            parts = [one for one in before + after if (*_pool(one), one["device"]) == key]
            used = sum(to_units(one.get("consumedCapacity", {}).get(name, 0)) for one in parts)
            if used > to_units(capacity["value"]):
                yield f"{name} of {result['device']} is used up"


def _counted_badly(pools, before, after):
    holders = {(*_pool(one), one["device"]) for one in before + after}
    old = {(*_pool(one), one["device"]) for one in before}
    used = Counter()
    for driver, pool, name in holders:
        for use in pools.get((driver, pool), {}).get("devices", {}).get(name, {}).get("consumesCounters", ()):
            for counter, amount in use["counters"].items():
                used[driver, pool, use["counterSet"], counter] += to_units(amount["value"])
    for driver, pool, name in sorted(holders - old):
        for use in pools[driver, pool]["devices"][name].get("consumesCounters", ()):
            for counter in use["counters"]:
                total = to_units(pools[driver, pool]["sets"][use["counterSet"]][counter]["value"])
                if used[driver, pool, use["counterSet"], counter] > total:
                    yield f"counter {counter} for {name} is used up"


def _request(claim, result):
    name, _, part = result["request"].partition("/")
    found = next(one for one in claim["spec"]["devices"]["requests"] if one["name"] == name)
    return next(one for one in found["firstAvailable"] if one["name"] == part) if part else found["exactly"]


def _tainted(device, request):
    for taint in device.get("taints", ()):
        tolerated = any(
            one.get("effect", "") in ("", taint["effect"])
            and one.get("key", "") in ("", taint["key"])
            and (one.get("operator") == "Exists" or one.get("value", "") == taint.get("value", ""))
            for one in request.get("tolerations", ())
        )
        if taint["effect"] in ("NoSchedule", "NoExecute") and not tolerated:
            yield f"{device['name']} has a taint"


def _against(pools, claim, results):
    for constraint in claim["spec"]["devices"].get("constraints", ()):
        distinct = constraint.get("distinctAttribute", "")
        attribute = distinct or constraint["matchAttribute"]
        wanted, values = constraint.get("requests", ()), []
        for one in results:
            if not wanted or {one["request"], one["request"].partition("/")[0]} & set(wanted):
                attributes = pools[_pool(one)]["devices"][one["device"]].get("attributes", {})
                domain, _, own = attribute.partition("/")
                found = attributes.get(attribute) or (attributes.get(own) if domain == one["driver"] else None)
                values.append(_set(found))
        if any(not one for one in values):
            yield f"{attribute} is missing"
        elif distinct and len(set.union(set(), *values)) < sum(map(len, values)):
            yield f"{attribute} is not distinct"
        elif not distinct and values and not set.intersection(*values):
            yield f"{attribute} does not match"


def _set(attribute):
    """The values of an attribute, each with its type; a list has several."""
    return {
        (kind.removesuffix("s"), one)
        for kind, value in (attribute or {}).items()
        for one in (value if isinstance(value, list) else [value])
    }
