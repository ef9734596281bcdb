"""Pods: defaults, validation, binding, eviction, deletion; on the embedded server and on a real one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .conftest import Api, binding, pod


def container(**resources: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "c", "image": "img:1", "resources": resources}]


async def test_a_pod_is_defaulted(api: Api) -> None:
    created = (await api.post(f"{api.ns}/pods", pod())).body
    expected = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "tolerations": [
            {"key": f"node.kubernetes.io/{word}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for word in ("not-ready", "unreachable")
        ],
        "containers": [
            {
                "name": "c",
                "image": "img:1",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
            }
        ],
    }
    assert created["spec"] == expected
    assert created["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert created["metadata"]["generation"] == 1


async def test_requests_follow_limits_and_quantities_are_canonical(api: Api) -> None:
    limits = {"cpu": "1000m", "memory": "1024Mi", "nvidia.com/gpu": 2}
    created = (await api.post(f"{api.ns}/pods", pod(containers=container(limits=limits, requests={"cpu": 0.5})))).body
    resources = created["spec"]["containers"][0]["resources"]
    assert resources["limits"] == {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "2"}
    assert resources["requests"] == {"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "2"}
    assert created["status"]["qosClass"] == "Burstable"


async def test_equal_requests_and_limits_are_guaranteed(api: Api) -> None:
    limits = {"cpu": "1", "memory": "1Gi"}
    created = (await api.post(f"{api.ns}/pods", pod(containers=container(limits=limits)))).body
    assert created["status"]["qosClass"] == "Guaranteed"


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
INVALID: list[tuple[str, dict[str, Any], str]] = [
    ("no containers", {"containers": []}, "spec.containers"),
    ("no image", {"containers": [{"name": "c"}]}, "spec.containers[0].image"),
    ("bad container name", {"containers": [{"name": "C!", "image": "x"}]}, "spec.containers[0].name"),
    (
        "negative request",
        {"containers": container(requests={"cpu": "-1"})},
        "spec.containers[0].resources.requests[cpu]",
    ),
    (
        "request above limit",
        {"containers": container(requests={"cpu": "2"}, limits={"cpu": "1"})},
        "spec.containers[0].resources.requests",
    ),
    (
        "half a GPU",
        {"containers": container(limits={"nvidia.com/gpu": "500m"})},
        "spec.containers[0].resources.limits[nvidia.com/gpu]",
    ),
    (
        "GPU request below its limit",
        {"containers": container(requests={"nvidia.com/gpu": 1}, limits={"nvidia.com/gpu": 2})},
        "spec.containers[0].resources.requests",
    ),
    (
        "GPU request without limit",
        {"containers": container(requests={"nvidia.com/gpu": 1})},
        "spec.containers[0].resources.limits",
    ),
    (
        "unknown plain resource",
        {"containers": container(requests={"gpu": 1})},
        "spec.containers[0].resources.requests[gpu]",
    ),
    ("restart policy", {"restartPolicy": "Sometimes"}, "spec.restartPolicy"),
    ("toleration operator", {"tolerations": [{"key": "a", "operator": "Like"}]}, "spec.tolerations[0].operator"),
    ("toleration without key", {"tolerations": [{"operator": "Equal"}]}, "spec.tolerations[0].operator"),
    ("gate with a node", {"schedulingGates": [{"name": "a"}], "nodeName": "n"}, "spec.nodeName"),
    (
        "affinity operator",
        {
            "affinity": {
                "nodeAffinity": {
                    REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}]}
                }
            }
        },
        f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].operator",
    ),
    (
        "In without values",
        {
            "affinity": {
                "nodeAffinity": {
                    REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}
                }
            }
        },
        f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].values",
    ),
    (
        "pod affinity without topology",
        {"affinity": {"podAffinity": {REQUIRED: [{"labelSelector": {}}]}}},
        f"spec.affinity.podAffinity.{REQUIRED}[0].topologyKey",
    ),
    (
        "two volume sources",
        {"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]},
        "spec.volumes[0].hostPath",
    ),
    (
        "mount of nothing",
        {"containers": [{"name": "c", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}]},
        "spec.containers[0].volumeMounts[0].name",
    ),
    (
        "spread without skew",
        {"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]},
        "spec.topologySpreadConstraints[0].maxSkew",
    ),
    ("claim without source", {"resourceClaims": [{"name": "gpu"}]}, "spec.resourceClaims[0]"),
    ("node selector value", {"nodeSelector": {"a": "not ok!"}}, "spec.nodeSelector"),
]


@pytest.mark.parametrize(("spec", "field"), [case[1:] for case in INVALID], ids=[case[0] for case in INVALID])
async def test_an_invalid_pod_is_refused_with_the_field(api: Api, spec: dict[str, Any], field: str) -> None:
    reply = await api.post(f"{api.ns}/pods", pod(**spec))
    assert (reply.status, reply.reason) == (422, "Invalid"), reply.body
    assert field in reply.fields


async def test_a_quantity_that_is_none_is_a_bad_request(api: Api) -> None:
    reply = await api.post(f"{api.ns}/pods", pod(containers=container(requests={"cpu": "lots"})))
    assert (reply.status, reply.reason) == (400, "BadRequest")
    assert "quantities must match the regular expression" in reply.message


async def test_priority_comes_from_the_class(api: Api) -> None:
    created = (await api.post(f"{api.ns}/pods", pod(priorityClassName="system-node-critical"))).body["spec"]
    assert (created["priority"], created["preemptionPolicy"]) == (2_000_001_000, "PreemptLowerPriority")
    unknown = await api.post(f"{api.ns}/pods", pod("q", priorityClassName="no-such-class"))
    assert (unknown.status, unknown.reason) == (403, "Forbidden")
    assert unknown.message == 'pods "q" is forbidden: no PriorityClass with name no-such-class was found'
    assert (await api.post(f"{api.ns}/pods", pod("r", priority=7))).status == 403


async def test_most_of_a_pods_spec_cannot_be_changed(api: Api) -> None:
    await api.post(f"{api.ns}/pods", pod())
    path = f"{api.ns}/pods/p"
    for spec in ({"schedulerName": "x"}, {"priority": 5}, {"nodeName": "n"}, {"nodeSelector": {"a": "b"}}):
        reply = await api.merge(path, {"spec": spec})
        assert (reply.status, reply.reason, reply.fields) == (422, "Invalid", ["spec"]), spec
    assert (await api.strategic(path, {"spec": {"containers": [{"name": "c", "image": "img:2"}]}})).status == 200
    changed = await api.strategic(path, {"spec": {"tolerations": [{"key": "new", "operator": "Exists"}]}})
    assert changed.status in (200, 422)
    assert (await api.merge(path, {"spec": {"activeDeadlineSeconds": 60}})).status == 200
    assert (await api.merge(path, {"spec": {"activeDeadlineSeconds": 90}})).status == 422


async def test_a_gated_pod_says_so_and_loses_gates_only(api: Api) -> None:
    created = (await api.post(f"{api.ns}/pods", pod(schedulingGates=[{"name": "a.b/c"}]))).body
    condition = created["status"]["conditions"][0]
    assert {key: condition.get(key) for key in ("type", "status", "reason", "message")} == {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }
    bound = await api.post(f"{api.ns}/pods/p/binding", binding("p", "n"))
    assert (bound.status, bound.reason) == (409, "Conflict")
    path = f"{api.ns}/pods/p"
    added = await api.json_patch(path, [{"op": "add", "path": "/spec/schedulingGates/-", "value": {"name": "x"}}])
    assert added.status == 422
    assert (await api.merge(path, {"spec": {"nodeSelector": {"a": "b"}}})).status == 200
    assert (await api.merge(path, {"spec": {"nodeSelector": {"a": "c"}}})).status == 422
    assert (await api.merge(path, {"spec": {"schedulingGates": None}})).status == 200
    assert (await api.post(f"{path}/binding", binding("p", "n"))).status == 201


async def test_binding_assigns_and_reports(api: Api) -> None:
    made = (await api.post(f"{api.ns}/pods", pod())).body
    await api.merge(f"{api.ns}/pods/p/status", {"status": {"nominatedNodeName": "m"}})
    body = binding("p", "n1", uid=made["metadata"]["uid"], annotations={"note": "x"})
    reply = await api.post(f"{api.ns}/pods/p/binding", body)
    assert (reply.status, reply.body["kind"], reply.body["status"]) == (201, "Status", "Success")
    bound = (await api.get(f"{api.ns}/pods/p")).body
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["metadata"]["annotations"] == {"note": "x"}
    assert bound["metadata"]["generation"] == made["metadata"]["generation"]
    assert "nominatedNodeName" not in bound["status"]
    condition = bound["status"]["conditions"][0]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")


async def test_binding_is_refused_as_a_real_server_does(api: Api) -> None:
    made = (await api.post(f"{api.ns}/pods", pod())).body["metadata"]
    path = f"{api.ns}/pods/p/binding"
    wrong_uid = await api.post(path, binding("p", "n", uid="00000000-0000-0000-0000-000000000000"))
    wrong_version = await api.post(path, binding("p", "n", resourceVersion="1"))
    wrong_name = await api.post(path, binding("q", "n"))
    no_node = await api.post(path, binding("p", ""))
    wrong_kind = await api.post(path, binding("p", "n") | {"target": {"kind": "Pod", "name": "n"}})
    missing = await api.post(f"{api.ns}/pods/q/binding", binding("q", "n"))
    assert [r.status for r in (wrong_uid, wrong_version, wrong_name, missing)] == [409, 409, 400, 404]
    assert (no_node.status, no_node.message) == (500, "target.name: Required value")
    assert wrong_kind.status == 500
    good = await api.post(path, binding("p", "n", uid=made["uid"], resourceVersion=made["resourceVersion"]))
    again = await api.post(path, binding("p", "n", uid=made["uid"]))
    assert (good.status, again.status, again.reason) == (201, 409, "Conflict")
    assert again.message.endswith('pod p is already assigned to node "n"')


async def test_bindings_can_be_posted_to_their_own_collection(api: Api) -> None:
    await api.post(f"{api.ns}/pods", pod())
    assert (await api.post(f"{api.ns}/bindings", binding("p", "n"))).status == 201
    assert (await api.get(f"{api.ns}/pods/p")).body["spec"]["nodeName"] == "n"


async def test_an_unbound_pod_vanishes_at_once(api: Api) -> None:
    await api.post(f"{api.ns}/pods", pod())
    reply = await api.delete(f"{api.ns}/pods/p")
    assert (reply.status, reply.body["kind"]) == (200, "Pod")
    assert (await api.get(f"{api.ns}/pods/p")).status == 404


async def test_a_bound_pod_waits_for_its_kubelet(api: Api) -> None:
    await api.post(f"{api.ns}/pods", pod())
    await api.post(f"{api.ns}/pods/p/binding", binding("p", "n"))
    for _ in range(100):  # a real server takes the grace from its cache
        if "nodeName" in (await api.get(f"{api.ns}/pods/p?resourceVersion=0")).body["spec"]:
            break
        await asyncio.sleep(0.01)
    reply = await api.delete(f"{api.ns}/pods/p")
    assert reply.body["metadata"]["deletionGracePeriodSeconds"] == 30
    assert (await api.get(f"{api.ns}/pods/p")).body["metadata"]["deletionTimestamp"]
    shorter = await api.delete(f"{api.ns}/pods/p", {"gracePeriodSeconds": 5})
    assert shorter.body["metadata"]["deletionGracePeriodSeconds"] == 5
    assert (await api.delete(f"{api.ns}/pods/p", {"gracePeriodSeconds": 0})).status == 200
    assert (await api.get(f"{api.ns}/pods/p")).status == 404


async def test_a_deleting_pod_cannot_be_bound(api: Api) -> None:
    body = pod()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await api.post(f"{api.ns}/pods", body)
    await api.delete(f"{api.ns}/pods/p")
    reply = await api.post(f"{api.ns}/pods/p/binding", binding("p", "n"))
    assert (reply.status, reply.reason) == (409, "Conflict")
    assert "is being deleted" in reply.message
    await api.merge(f"{api.ns}/pods/p", {"metadata": {"finalizers": None}})


async def test_status_is_written_by_its_subresource_only(api: Api) -> None:
    made = (await api.post(f"{api.ns}/pods", pod() | {"status": {"phase": "Running"}})).body
    assert made["status"]["phase"] == "Pending"
    assert (await api.merge(f"{api.ns}/pods/p", {"status": {"phase": "Running"}})).body["status"]["phase"] == "Pending"
    patch = {"status": {"phase": "Running"}, "spec": {"schedulerName": "x"}}
    reply = await api.merge(f"{api.ns}/pods/p/status", patch)
    assert (reply.status, reply.body["status"]["phase"]) == (200, "Running")
    assert reply.body["spec"]["schedulerName"] == "default-scheduler"
    assert reply.body["metadata"]["generation"] == 1


async def test_conditions_are_merged_by_type(api: Api) -> None:
    await api.post(f"{api.ns}/pods", pod())
    for kind in ("A", "B", "A"):
        patch = {"status": {"conditions": [{"type": kind, "status": "True", "message": kind}]}}
        reply = await api.strategic(f"{api.ns}/pods/p/status", patch)
    assert [condition["type"] for condition in reply.body["status"]["conditions"]] == ["B", "A"]


def budget(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "b"},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, **spec},
    }


def eviction(name: str = "p", **options: Any) -> dict[str, Any]:
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options}


async def running_pod(api: Api, name: str = "p") -> None:
    body = pod(name)
    body["metadata"]["labels"] = {"app": "x"}
    await api.post(f"{api.ns}/pods", body)
    await api.post(f"{api.ns}/pods/{name}/binding", binding(name, "n"))
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await api.strategic(f"{api.ns}/pods/{name}/status", {"status": ready})


async def test_eviction_deletes_and_says_why(api: Api) -> None:
    await running_pod(api)
    reply = await api.post(f"{api.ns}/pods/p/eviction", eviction())
    assert (reply.status, reply.body["status"]) == (201, "Success")
    evicted = (await api.get(f"{api.ns}/pods/p")).body
    assert evicted["metadata"]["deletionTimestamp"]
    target = next(c for c in evicted["status"]["conditions"] if c["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"]) == ("True", "EvictionByEvictionAPI")


async def test_eviction_waits_for_a_budget_that_nobody_counted_yet(api: Api) -> None:
    await running_pod(api)
    await api.post(f"{api.in_group('policy/v1')}/poddisruptionbudgets", budget(minAvailable=1))
    reply = await api.post(f"{api.ns}/pods/p/eviction", eviction())
    assert (reply.status, reply.reason) == (429, "TooManyRequests")
    assert reply.body["details"]["causes"][0]["reason"] == "DisruptionBudget"
    assert reply.message == "Cannot evict pod as it would violate the pod's disruption budget."


async def test_eviction_takes_one_disruption_from_its_budget(api: Api) -> None:
    await running_pod(api)
    path = f"{api.in_group('policy/v1')}/poddisruptionbudgets"
    await api.post(path, budget(minAvailable=0))
    status = {
        "observedGeneration": 1,
        "disruptionsAllowed": 1,
        "currentHealthy": 1,
        "desiredHealthy": 0,
        "expectedPods": 1,
    }
    await api.merge(f"{path}/b/status", {"status": status})
    assert (await api.post(f"{api.ns}/pods/p/eviction", eviction())).status == 201
    assert "p" in (await api.get(f"{path}/b")).body["status"].get("disruptedPods", {"p": ""})


async def test_two_budgets_for_a_pod_are_an_error(api: Api) -> None:
    await running_pod(api)
    path = f"{api.in_group('policy/v1')}/poddisruptionbudgets"
    await api.post(path, budget(minAvailable=0))
    await api.post(path, budget(minAvailable=0) | {"metadata": {"name": "c"}})
    reply = await api.post(f"{api.ns}/pods/p/eviction", eviction())
    assert reply.status == 500
    assert "more than one PodDisruptionBudget" in reply.message


async def test_a_pending_pod_is_evicted_whatever_the_budget_says(api: Api) -> None:
    body = pod()
    body["metadata"]["labels"] = {"app": "x"}
    await api.post(f"{api.ns}/pods", body)
    await api.post(f"{api.in_group('policy/v1')}/poddisruptionbudgets", budget(minAvailable=1))
    assert (await api.post(f"{api.ns}/pods/p/eviction", eviction())).status == 201
    assert (await api.get(f"{api.ns}/pods/p")).status == 404


async def test_eviction_of_another_or_no_pod_is_refused(api: Api) -> None:
    await running_pod(api)
    assert (await api.post(f"{api.ns}/pods/p/eviction", eviction("q"))).status == 400
    assert (await api.post(f"{api.ns}/pods/q/eviction", eviction("q"))).status == 404
    wrong = eviction(preconditions={"uid": "00000000-0000-0000-0000-000000000000"})
    assert (await api.post(f"{api.ns}/pods/p/eviction", wrong)).status == 409


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1000m", "1"), ("0.5", "500m"), ("1.5Gi", "1536Mi"), ("1024Mi", "1Gi"), ("100000000", "100M"), ("1e3", "1e3"),
        ("12e6", "12e6"), ("1500Mi", "1500Mi"), ("1Ki", "1Ki"), ("0", "0"), ("0.1m", "1m"),
        ("1.5", "1500m"), (".5Gi", "512Mi"), ("1.5Ki", "1536"), ("1000Ki", "1000Ki"), ("0Gi", "0"),
    ],
)  # fmt: skip
async def test_quantities_have_one_spelling(api: Api, written: str, stored: str) -> None:
    created = (await api.post(f"{api.ns}/pods", pod(containers=container(requests={"memory": written})))).body
    assert created["spec"]["containers"][0]["resources"]["requests"]["memory"] == stored


@pytest.fixture
async def kata(api: Api) -> str:
    """A runtime class with an overhead, for nodes of its own."""
    name = f"kata-{api.namespace}"
    scheduling = {"nodeSelector": {"kata": "true"}, "tolerations": [{"key": "kata", "operator": "Exists"}]}
    overhead = {"podFixed": {"cpu": "250m", "memory": "160Mi"}}
    body = {"metadata": {"name": name}, "handler": "kata", "overhead": overhead, "scheduling": scheduling}
    reply = await api.post("/apis/node.k8s.io/v1/runtimeclasses", body)
    assert reply.status == 201, reply.body
    return name


async def test_a_runtime_class_brings_its_overhead_and_its_nodes(api: Api, kata: str) -> None:
    made = (await api.post(f"{api.ns}/pods", pod(runtimeClassName=kata, nodeSelector={"zone": "a"}))).body["spec"]
    assert made["overhead"] == {"cpu": "250m", "memory": "160Mi"}
    assert made["nodeSelector"] == {"zone": "a", "kata": "true"}
    assert {"key": "kata", "operator": "Exists"} in made["tolerations"]


async def test_a_pod_may_not_contradict_its_runtime_class(api: Api, kata: str) -> None:
    contradictions: list[dict[str, Any]] = [
        {"runtimeClassName": kata, "nodeSelector": {"kata": "false"}},
        {"runtimeClassName": kata, "overhead": {"cpu": "1"}},
        {"runtimeClassName": "unknown"},
        {"overhead": {"cpu": "1"}},
    ]
    for spec in contradictions:
        reply = await api.post(f"{api.ns}/pods", pod(**spec))
        assert (reply.status, reply.reason) == (403, "Forbidden"), reply.body


async def test_a_runtime_class_names_a_handler_for_good(api: Api, kata: str) -> None:
    path = "/apis/node.k8s.io/v1/runtimeclasses"
    changed = await api.merge(f"{path}/{kata}", {"handler": "runc"})
    assert (changed.status, changed.fields) == (422, ["handler"])
    for wrong in ({"handler": ""}, {"handler": "A_b"}):
        reply = await api.post(path, {"metadata": {"name": f"x-{kata}"}, **wrong})
        assert (reply.status, reply.fields) == (422, ["handler"]), reply.body


async def test_a_pods_status_names_claims_of_its_own(api: Api) -> None:
    limits = {"resources": {"limits": {"example.com/gpu": "1"}}}
    body = pod(resourceClaims=[{"name": "c", "resourceClaimTemplateName": "t"}])
    body["spec"]["containers"][0] |= limits
    assert (await api.post(f"{api.ns}/pods", body)).status == 201

    def extended(**mapping: str) -> dict[str, Any]:
        said = {"containerName": "c", "resourceName": "example.com/gpu", "requestName": "r"} | mapping
        return {"extendedResourceClaimStatus": {"resourceClaimName": "x", "requestMappings": [said]}}

    field = "status.extendedResourceClaimStatus"
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"resourceClaimStatuses": [{"name": "d"}]}, ["status.resourceClaimStatuses[0].name"]),
        ({"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "A_b"}]},
         ["status.resourceClaimStatuses[0].resourceClaimName"]),
        (extended(containerName="d"), [f"{field}.requestMappings[0].containerName"]),
        (extended(resourceName="example.com/nic"), [f"{field}.requestMappings[0].resourceName"]),
        (extended(requestName="R"), [f"{field}.requestName"]),
        ({"extendedResourceClaimStatus": {"resourceClaimName": "x", "requestMappings": []}},
         [f"{field}.requestMappings"]),
        ({"extendedResourceClaimStatus": extended()["extendedResourceClaimStatus"] | {"resourceClaimName": "A_b"}},
         [f"{field}.resourceClaimName"]),
        ({"resourceClaimStatuses": [{"name": "c"}]}, []),
        (extended(), []),
    ]  # fmt: skip
    for status, fields in cases:
        reply = await api.merge(f"{api.ns}/pods/p/status", {"status": status})
        assert reply.fields == fields, reply.body
        assert (reply.status == 200) == (not fields)
