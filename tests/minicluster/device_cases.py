"""Slices, claims, classes and allocations, and the fields for which a kube-apiserver (1.36) refuses them.

None: it accepts them. What it says was read off a real one.
"""

from __future__ import annotations

from typing import Any

COUNTER = {"value": "1"}
GPU = {"name": "d"}


def device(**more: Any) -> dict[str, Any]:
    return {"devices": [GPU | more]}


def shared(policy: Any, *, value: str = "10") -> dict[str, Any]:
    return device(allowMultipleAllocations=True, capacity={"c": {"value": value, "requestPolicy": policy}})


def reach(**limits: str) -> dict[str, Any]:
    return {"default": "2", "validRange": limits}


def consumes(*uses: Any) -> dict[str, Any]:
    return device(consumesCounters=list(uses))


def term(*keys: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": "Exists"} for key in keys]}


def counter_sets(*sets: Any) -> dict[str, Any]:
    return {"devices": None, "sharedCounters": list(sets)}


#: What a slice may say beyond a node, a pool and one device.
SLICE_CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"nodeName": ""}, ["spec", "spec.nodeName"]),
    ({"nodeName": "Node_1"}, ["spec.nodeName"]),
    ({"nodeName": None, "nodeSelector": {"nodeSelectorTerms": [term("a")]}}, []),
    (
        {"nodeName": None, "nodeSelector": {"nodeSelectorTerms": [term("a"), term("b")]}},
        ["spec.nodeSelector.nodeSelectorTerms"],
    ),
    ({"nodeName": None, "allNodes": True}, []),
    ({"nodeName": None, "allNodes": False}, ["spec", "spec.allNodes"]),
    ({"allNodes": False}, ["spec.allNodes"]),
    ({"allNodes": True}, ["spec"]),
    ({"nodeName": None, "perDeviceNodeSelection": True}, ["spec.devices[0]"]),
    ({"nodeName": None, "perDeviceNodeSelection": True} | device(nodeName="n"), []),
    ({"nodeName": None, "perDeviceNodeSelection": True} | device(nodeName="n", allNodes=True), ["spec.devices[0]"]),
    (
        {"nodeName": None, "perDeviceNodeSelection": True} | device(nodeName=""),
        ["spec.devices[0]", "spec.devices[0].nodeName"],
    ),
    (
        {"nodeName": None, "perDeviceNodeSelection": True}
        | device(nodeSelector={"nodeSelectorTerms": [term("a"), term("b")]}),
        [],
    ),
    (device(nodeName="n"), ["spec.devices[0]"]),
    (device(allNodes=True), ["spec.devices[0]"]),
    ({"driver": "Gpu_1"}, ["spec.driver"]),
    ({"driver": ""}, ["spec.driver"]),
    ({"driver": "a" * 64}, ["spec.driver"]),
    ({"driver": "GPU.example.com"}, []),
    ({"pool": {"name": "a/b.c", "generation": 1, "resourceSliceCount": 1}}, []),
    ({"pool": {"name": "a//b", "generation": 1, "resourceSliceCount": 1}}, ["spec.pool.name"]),
    ({"pool": {"name": "p", "generation": -1, "resourceSliceCount": 1}}, ["spec.pool.generation"]),
    ({"pool": {"name": "p", "generation": 0, "resourceSliceCount": 0}}, ["spec.pool.resourceSliceCount"]),
    ({"pool": {"name": "p" * 254, "generation": 0, "resourceSliceCount": 1}}, ["spec.pool.name"]),
    ({"devices": [], "sharedCounters": []}, ["spec"]),
    ({"sharedCounters": [{"name": "s", "counters": {"c": COUNTER}}]}, ["spec"]),
    (counter_sets({"name": "s", "counters": {"c": COUNTER}}), []),
    (counter_sets({"name": "s", "counters": {}}), ["spec.sharedCounters[0].counters"]),
    (counter_sets({"name": "S", "counters": {"c": COUNTER}}), ["spec.sharedCounters[0].name"]),
    (counter_sets({"name": "s", "counters": {"C": COUNTER}}), ["spec.sharedCounters[0].counters"]),
    (counter_sets(*[{"name": "s", "counters": {"c": COUNTER}}] * 2), ["spec.sharedCounters[1]"]),
    (counter_sets({"name": "s", "counters": {f"c{n}": COUNTER for n in range(32)}}), []),
    (
        counter_sets({"name": "s", "counters": {f"c{n}": COUNTER for n in range(33)}}),
        ["spec.sharedCounters[0].counters"],
    ),
    (counter_sets(*({"name": f"s{n}", "counters": {"c": COUNTER}} for n in range(9))), ["spec.sharedCounters"]),
    (consumes({"counterSet": "s", "counters": {"c": COUNTER}}), []),
    (consumes({"counterSet": "", "counters": {"c": COUNTER}}), ["spec.devices[0].consumesCounters[0].counterSet"]),
    (consumes({"counterSet": "s", "counters": {}}), ["spec.devices[0].consumesCounters[0].counters"]),
    (consumes({"counterSet": "s", "counters": {"C": COUNTER}}), ["spec.devices[0].consumesCounters[0].counters"]),
    (
        consumes({"counterSet": "s", "counters": {f"c{n}": COUNTER for n in range(33)}}),
        ["spec.devices[0].consumesCounters[0].counters"],
    ),
    (consumes(*({"counterSet": "s", "counters": {"c": COUNTER}},) * 2), ["spec.devices[0].consumesCounters[1]"]),
    (consumes(*({"counterSet": f"s{n}", "counters": {"c": COUNTER}} for n in range(2))), []),
    (
        consumes(*({"counterSet": f"s{n}", "counters": {"c": COUNTER}} for n in range(3))),
        ["spec.devices[0].consumesCounters"],
    ),
    ({"devices": [GPU | {"name": f"d{n}"} for n in range(128)]}, []),
    (
        {
            "devices": [
                {"name": f"d{n}", "consumesCounters": [{"counterSet": "s", "counters": {"c": COUNTER}}]}
                for n in range(65)
            ]
        },
        ["spec.devices"],
    ),
    (
        {"devices": [{"name": f"d{n}", "taints": [{"key": "a", "effect": "NoSchedule"}]} for n in range(65)]},
        ["spec.devices"],
    ),
    ({"devices": [GPU, GPU]}, ["spec.devices[1]"]),
    (device(name=""), ["spec.devices[0].name"]),
    (device(name="a.b"), ["spec.devices[0].name"]),
    (device(attributes={f"a{n}": {"bool": True} for n in range(32)}), []),
    (device(attributes={f"a{n}": {"bool": True} for n in range(32)}, capacity={"c": COUNTER}), ["spec.devices[0]"]),
    (device(attributes={"a": {"string": "x" * 65}}), ["spec.devices[0].attributes[a].string"]),
    (device(attributes={"a": {"version": "1.0.0-01"}}), ["spec.devices[0].attributes[a].version"]),
    (device(attributes={"a": {"version": "1.0.0-rc.1+build.5"}}), []),
    (device(attributes={"a": {"version": "1.0"}}), ["spec.devices[0].attributes[a].version"]),
    (device(attributes={"a": {}}), ["spec.devices[0].attributes[a]"]),
    (device(attributes={"a": {"bools": [True]}}), ["spec.devices[0].attributes[a]"]),
    (device(attributes={"a": {"strings": []}}), ["spec.devices[0].attributes[a]"]),
    (device(attributes={"a": {"int": 9223372036854775807}}), []),
    (device(attributes={"a" * 33: {"bool": True}}), ["spec.devices[0].attributes"]),
    (device(attributes={"a.b/c": {"bool": True}}), []),
    (device(attributes={"A.b/c": {"bool": True}}), []),
    (device(attributes={"/c": {"bool": True}}), ["spec.devices[0].attributes"]),
    (device(attributes={"a/": {"bool": True}}), ["spec.devices[0].attributes"]),
    (device(attributes={"a/b/c": {"bool": True}}), []),
    (device(attributes={"a" * 64 + "/c": {"bool": True}}), ["spec.devices[0].attributes"]),
    (device(capacity={"c-d": COUNTER}), ["spec.devices[0].capacity"]),
    (
        device(capacity={"c": {"value": "10", "requestPolicy": {"default": "1"}}}),
        ["spec.devices[0].capacity[c].requestPolicy"],
    ),
    (shared({"default": "1"}), []),
    (shared({}), []),
    (shared({"validValues": ["1", "2"]}), ["spec.devices[0].capacity[c].requestPolicy.default"]),
    (shared({"default": "2", "validValues": ["1", "2"]}), []),
    (shared({"default": "3", "validValues": ["1", "2"]}), ["spec.devices[0].capacity[c].requestPolicy.validValues"]),
    (shared({"default": "2", "validValues": ["2", "1"]}), ["spec.devices[0].capacity[c].requestPolicy.validValues[1]"]),
    (shared({"default": "2", "validValues": ["2", "2"]}), ["spec.devices[0].capacity[c].requestPolicy.validValues[1]"]),
    (
        shared({"default": "2", "validValues": ["2", "11"]}),
        ["spec.devices[0].capacity[c].requestPolicy.validValues[1]"],
    ),
    (shared({"default": "1", "validValues": [str(n) for n in range(1, 11)]}), []),
    (
        shared({"default": "1", "validValues": [str(n) for n in range(1, 12)]}, value="20"),
        ["spec.devices[0].capacity[c].requestPolicy.validValues"],
    ),
    (
        shared({"default": "2", "validValues": ["2"], "validRange": {"min": "1"}}),
        ["spec.devices[0].capacity[c].requestPolicy"],
    ),
    (shared({"validRange": {"min": "1"}}), ["spec.devices[0].capacity[c].requestPolicy.default"]),
    (shared(reach(max="5")), ["spec.devices[0].capacity[c].requestPolicy.validRange.min"]),
    (shared(reach(min="1", max="5")), []),
    (shared(reach(min="3")), ["spec.devices[0].capacity[c].requestPolicy.validRange.min"]),
    (shared(reach(min="11")), ["spec.devices[0].capacity[c].requestPolicy.validRange.min"]),
    (shared(reach(min="0", max="1")), ["spec.devices[0].capacity[c].requestPolicy.validRange.max"]),
    (shared(reach(min="0", max="11")), ["spec.devices[0].capacity[c].requestPolicy.validRange.max"]),
    (shared(reach(min="2", max="1")), ["spec.devices[0].capacity[c].requestPolicy.validRange.max"]),
    (shared(reach(min="0", max="10", step="2")), []),
    (shared(reach(min="0", max="9", step="2")), ["spec.devices[0].capacity[c].requestPolicy.validRange.step"]),
    (shared(reach(min="1", step="2")), ["spec.devices[0].capacity[c].requestPolicy.validRange.step"]),
    (shared(reach(min="0", step="11")), ["spec.devices[0].capacity[c].requestPolicy.validRange.step"]),
    (device(taints=[{"key": "a", "effect": "NoSchedule"}] * 16), []),
    (device(taints=[{"key": "a", "effect": "NoSchedule"}] * 17), ["spec.devices[0].taints"]),
    (device(taints=[{"key": "a", "effect": "PreferNoSchedule"}]), ["spec.devices[0].taints[0].effect"]),
    (device(taints=[{"key": "a", "effect": ""}]), ["spec.devices[0].taints[0].effect"]),
    (device(taints=[{"key": "", "effect": "None"}]), ["spec.devices[0].taints[0].key"]),
    (device(taints=[{"key": "a", "value": "/", "effect": "NoExecute"}]), ["spec.devices[0].taints[0].value"]),
    (device(bindingConditions=["a"], bindingFailureConditions=["b"]), []),
    (device(bindingConditions=["a"]), ["spec.devices[0].bindingFailureConditions"]),
    (device(bindingFailureConditions=["a"]), ["spec.devices[0].bindingConditions"]),
    (device(bindingConditions=["a", "a"], bindingFailureConditions=["b"]), ["spec.devices[0].bindingConditions[1]"]),
    (device(bindingConditions=["a"], bindingFailureConditions=["a"]), ["spec.devices[0].bindingFailureConditions[0]"]),
    (device(bindingConditions=list("abcde"), bindingFailureConditions=["f"]), ["spec.devices[0].bindingConditions"]),
    (device(bindingConditions=["a b"], bindingFailureConditions=["f"]), ["spec.devices[0].bindingConditions[0]"]),
    (device(nodeAllocatableResourceMappings={"gpu": {}}), []),
]


def exactly(**more: Any) -> dict[str, Any]:
    return {"requests": [{"name": "r", "exactly": {"deviceClassName": "c", **more}}]}


def either(*alternatives: Any) -> dict[str, Any]:
    return {"requests": [{"name": "r", "firstAvailable": [{"deviceClassName": "c", **one} for one in alternatives]}]}


def opaque(**more: Any) -> dict[str, Any]:
    return {"opaque": {"driver": "a.b", "parameters": {"k": "v"}, **more}}


CLAIM_CASES: list[tuple[dict[str, Any], list[str]]] = [
    (exactly(), []),
    (exactly(count=0), []),
    (exactly(allocationMode="All"), []),
    (exactly(selectors=[{"cel": {"expression": "true"}}] * 33), ["spec.devices.requests[0].exactly.selectors"]),
    (
        exactly(selectors=[{"cel": {"expression": ""}}]),
        ["spec.devices.requests[0].exactly.selectors[0].cel.expression"],
    ),
    (
        exactly(selectors=[{"cel": {"expression": "device.driver =="}}]),
        ["spec.devices.requests[0].exactly.selectors[0].cel.expression"],
    ),
    (
        exactly(selectors=[{"cel": {"expression": "device.driver"}}]),
        ["spec.devices.requests[0].exactly.selectors[0].cel.expression"],
    ),
    (
        exactly(selectors=[{"cel": {"expression": "x" * 10241}}]),
        ["spec.devices.requests[0].exactly.selectors[0].cel.expression"],
    ),
    (exactly(capacity={"requests": {"memory": "4Gi"}}), []),
    (exactly(capacity={"requests": {"a.b/memory": "4Gi"}}), []),
    (exactly(capacity={"requests": {"me-mory": "4Gi"}}), []),
    (exactly(capacity={"requests": {"memory": "-1"}}), []),
    (exactly(tolerations=[{"key": "a", "effect": "NoSchedule"}]), []),
    (
        exactly(tolerations=[{"operator": "Exists", "value": "v"}]),
        ["spec.devices.requests[0].exactly.tolerations[0].value"],
    ),
    (exactly(tolerations=[{"operator": "Equal", "value": "v"}]), []),
    (
        exactly(tolerations=[{"key": "a b", "operator": "Exists"}]),
        ["spec.devices.requests[0].exactly.tolerations[0].key"],
    ),
    (exactly(tolerations=[{"key": "a", "value": "/"}]), ["spec.devices.requests[0].exactly.tolerations[0].value"]),
    (
        exactly(tolerations=[{"key": "a", "effect": "Never"}]),
        ["spec.devices.requests[0].exactly.tolerations[0].effect"],
    ),
    (
        exactly(tolerations=[{"key": "a", "operator": "Is"}]),
        ["spec.devices.requests[0].exactly.tolerations[0].operator"],
    ),
    (exactly(tolerations=[{"key": "a"}] * 17), []),
    (exactly(adminAccess=True), ["spec.devices.requests[0].adminAccess"]),
    (exactly(adminAccess=False), []),
    (exactly(deviceClassName="C_1"), ["spec.devices.requests[0].exactly.deviceClassName"]),
    (either({"name": "a"}, {"name": "b"}), []),
    (either({"name": "a"}, {"name": "a"}), ["spec.devices.requests[0].firstAvailable[1]"]),
    (either({"name": "A"}), ["spec.devices.requests[0].firstAvailable[0].name"]),
    (either({"name": "a", "count": -1}), ["spec.devices.requests[0].firstAvailable[0].count"]),
    (either({"name": "a", "allocationMode": "Some"}), ["spec.devices.requests[0].firstAvailable[0].allocationMode"]),
    (either(*({"name": f"a{n}"} for n in range(9))), ["spec.devices.requests[0].firstAvailable"]),
    (either({"name": "a"}) | {"constraints": [{"requests": ["r/a"], "matchAttribute": "a.b/c"}]}, []),
    (
        either({"name": "a"}) | {"constraints": [{"requests": ["r/b"], "matchAttribute": "a.b/c"}]},
        ["spec.devices.constraints[0].requests[0]"],
    ),
    (
        either({"name": "a"}) | {"constraints": [{"requests": ["r/a/b"], "matchAttribute": "a.b/c"}]},
        ["spec.devices.constraints[0].requests[0]"],
    ),
    (exactly() | {"constraints": [{"matchAttribute": "c"}]}, ["spec.devices.constraints[0].matchAttribute"]),
    (exactly() | {"constraints": [{"matchAttribute": "a.b/c d"}]}, ["spec.devices.constraints[0].matchAttribute"]),
    (exactly() | {"constraints": [{"matchAttribute": "a.b/c", "distinctAttribute": "a.b/d"}]}, []),
    (exactly() | {"constraints": [{"distinctAttribute": "a.b/d"}]}, []),
    (
        exactly() | {"constraints": [{"requests": ["r", "r"], "matchAttribute": "a.b/c"}]},
        ["spec.devices.constraints[0].requests[1]"],
    ),
    (exactly() | {"constraints": [{"matchAttribute": "a.b/c"}] * 33}, ["spec.devices.constraints"]),
    (exactly() | {"config": [opaque()]}, []),
    (exactly() | {"config": [opaque(driver="")]}, ["spec.devices.config[0].opaque.driver"]),
    (exactly() | {"config": [opaque(driver="A_B")]}, ["spec.devices.config[0].opaque.driver"]),
    (exactly() | {"config": [opaque(parameters={"k": "x" * 10300})]}, ["spec.devices.config[0].opaque.parameters"]),
    (exactly() | {"config": [opaque() | {"requests": ["s"]}]}, ["spec.devices.config[0].requests[0]"]),
    (exactly() | {"config": [opaque()] * 33}, ["spec.devices.config"]),
    (
        {"requests": [{"name": f"r{n}", "exactly": {"deviceClassName": "c"}} for n in range(33)]},
        ["spec.devices.requests"],
    ),
    (
        {
            "requests": [
                {
                    "name": "r",
                    "exactly": {"deviceClassName": "c"},
                    "firstAvailable": [{"name": "a", "deviceClassName": "c"}],
                }
            ]
        },
        ["spec.devices.requests[0]"],
    ),
    ({}, []),
]

CLASS_CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"extendedResourceName": "example.com/gpu"}, []),
    ({"extendedResourceName": "gpu"}, ["spec.extendedResourceName"]),
    ({"extendedResourceName": "requests.example.com/gpu"}, ["spec.extendedResourceName"]),
    ({"extendedResourceName": "example.com/g pu"}, ["spec.extendedResourceName"]),
    ({"extendedResourceName": "kubernetes.io/gpu"}, ["spec.extendedResourceName"]),
    ({"extendedResourceName": ""}, ["spec.extendedResourceName"]),
    ({"extendedResourceName": "deviceclass.resource.kubernetes.io/a"}, ["spec.extendedResourceName"]),
    ({"selectors": [{}]}, ["spec.selectors[0].cel"]),
    ({"selectors": [{"cel": {"expression": "device.driver == 'a' && ("}}]}, ["spec.selectors[0].cel.expression"]),
    ({"selectors": [{"cel": {"expression": "device.driver == 'a'"}}]}, []),
    ({"config": [{}]}, ["spec.config[0].opaque"]),
    ({"config": [opaque()]}, []),
]

RESULT = {"request": "r", "driver": "a.b", "pool": "p", "device": "d"}
SHARE = "6d7cd2ae-1f1b-4d52-9c3b-2b6d5f0c5a11"


def result(**more: Any) -> dict[str, Any]:
    return {"allocation": {"devices": {"results": [RESULT | more]}}}


STATUS_CASES: list[tuple[dict[str, Any], list[str]]] = [
    (result(), []),
    (result(driver="A_b"), ["status.allocation.devices.results[0].driver"]),
    (result(pool="a//b"), ["status.allocation.devices.results[0].pool"]),
    (result(device="a.b"), ["status.allocation.devices.results[0].device"]),
    (result(device=""), ["status.allocation.devices.results[0].device"]),
    (result(request="s"), ["status.allocation.devices.results[0].request"]),
    (result(request="r/s"), ["status.allocation.devices.results[0].request"]),
    (result(shareID=SHARE), []),
    (result(shareID=SHARE.upper()), ["status.allocation.devices.results[0].shareID"]),
    (result(shareID="share"), ["status.allocation.devices.results[0].shareID"]),
    (result(shareID=SHARE, consumedCapacity={"memory": "4Gi"}), []),
    (result(consumedCapacity={"me-mory": "4Gi"}), []),
    (result(bindingConditions=["a"]), ["status.allocation.devices.results[0].bindingFailureConditions"]),
    (result(bindingConditions=["a"], bindingFailureConditions=["b"]), []),
    (
        result(bindingConditions=["a"], bindingFailureConditions=["a"]),
        ["status.allocation.devices.results[0].bindingFailureConditions[0]"],
    ),
    (result(tolerations=[{"key": "a", "operator": "Exists"}]), []),
    (result(tolerations=[{"key": "a", "operator": "Is"}]), []),
    (result(adminAccess=True), ["status.allocation.devices.results[0].adminAccess"]),
    ({"allocation": {"devices": {"results": [RESULT] * 33}}}, ["status.allocation.devices.results"]),
    ({"allocation": {"devices": {"results": [RESULT] * 2}}}, []),
    ({"allocation": {"devices": {"config": [{"source": "FromClass"} | opaque()]}}}, []),
    (
        {"allocation": {"devices": {"config": [{"source": "Elsewhere"} | opaque()]}}},
        ["status.allocation.devices.config[0].source"],
    ),
    (
        {"allocation": {"devices": {"config": [{"source": "FromClass"}]}}},
        ["status.allocation.devices.config[0].opaque"],
    ),
    (
        {"allocation": {"devices": {"config": [{"source": "FromClass", "requests": ["s"]} | opaque()]}}},
        ["status.allocation.devices.config[0].requests[0]"],
    ),
    (
        {"allocation": {"devices": {"config": [{"source": "FromClass", "requests": ["r", "r"]} | opaque()]}}},
        ["status.allocation.devices.config[0].requests[1]"],
    ),
    (
        {"allocation": {"devices": {"config": [{"source": "FromClass"} | opaque()] * 65}}},
        ["status.allocation.devices.config"],
    ),
    ({"allocation": {"nodeSelector": {"nodeSelectorTerms": [term("a")]}}}, []),
    ({"allocation": {"nodeSelector": {"nodeSelectorTerms": [term("a"), term("b")]}}}, []),
    ({"allocation": {"nodeSelector": {"nodeSelectorTerms": []}}}, ["status.allocation.nodeSelector.nodeSelectorTerms"]),
    (result() | {"reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]}, []),
    (
        result() | {"reservedFor": [{"resource": "", "name": "", "uid": ""}]},
        ["status.reservedFor[0].name", "status.reservedFor[0].resource", "status.reservedFor[0].uid"],
    ),
    (result() | {"devices": [{"driver": "a.b", "pool": "p", "device": "d"}]}, []),
    (result() | {"devices": [{"driver": "a.b", "pool": "p", "device": "e"}]}, ["status.devices[0]"]),
    (
        result() | {"devices": [{"driver": "a.b", "pool": "p", "device": "d", "data": {"k": "x" * 10300}}]},
        ["status.devices[0].data"],
    ),
    (
        result()
        | {
            "devices": [
                {
                    "driver": "a.b",
                    "pool": "p",
                    "device": "d",
                    "networkData": {"ips": ["10.9.8.0/24"], "interfaceName": "eth0"},
                }
            ]
        },
        [],
    ),
    (
        result()
        | {
            "devices": [
                {
                    "driver": "a.b",
                    "pool": "p",
                    "device": "d",
                    "networkData": {"ips": ["10.9.8.7"], "interfaceName": "x" * 257},
                }
            ]
        },
        ["status.devices[0].networkData.interfaceName", "status.devices[0].networkData.ips[0]"],
    ),
    (
        result()
        | {
            "devices": [
                {
                    "driver": "a.b",
                    "pool": "p",
                    "device": "d",
                    "conditions": [
                        {
                            "type": "Ready",
                            "status": "Maybe",
                            "reason": "a",
                            "lastTransitionTime": "2026-01-01T00:00:00Z",
                        }
                    ],
                }
            ]
        },
        ["status.devices[0].conditions[0].status"],
    ),
]
