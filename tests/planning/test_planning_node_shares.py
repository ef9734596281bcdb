"""Devices that take cpu or memory of their node (KEP-5517): one scenario for each rule, manifests in, decisions out."""

import pytest

from tests.planning.builders import node, podgroup, queue
from tests.planning.test_planning_claims import GPU, binds, claim, planned, reasons, slice_of, user

GI = 2**30
#: A GPU that needs host memory, the node has 256Gi.
TAKES = {"nodeAllocatableResourceMappings": {"memory": {"allocationMultiplier": "100Gi"}}}
#: A pool of cores that are given out in parts.
CORES = {
    "allowMultipleAllocations": True,
    "capacity": {"cores": {"value": "48"}},
    "nodeAllocatableResourceMappings": {"cpu": {"capacityKey": "cores", "allocationMultiplier": "2"}},
}


URGENT = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "urgent"},
    "value": 75,
}


def using(name, *claims, cpu="0", memory="0", pod_level=None, on=None, **more):
    """A pod whose only container uses all of its claims."""
    made = user(name, *claims, on=on, **more)
    made["spec"]["containers"] = [
        {
            "name": "main",
            "resources": {"requests": {"cpu": cpu, "memory": memory}, "claims": [{"name": one} for one in claims]},
        }
    ]
    if pod_level:
        made["spec"]["resources"] = {"requests": pod_level}
    return made


def part(name, cores):
    made = claim(name)
    made["spec"]["devices"]["requests"][0]["exactly"]["capacity"] = {"requests": {"cores": cores}}
    return made


def held(name, *devices, on="n1", by=()):
    """A claim that has devices, whoever gave them."""
    results = [{"request": "gpu", "driver": GPU, "pool": on, "device": one} for one in devices]
    field = {"key": "metadata.name", "operator": "In", "values": [on]}
    allocation = {"devices": {"results": results}, "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field]}]}}
    users = [{"resource": "pods", "name": one, "uid": one} for one in by]
    return claim(name, len(devices)) | {"status": {"allocation": allocation, "reservedFor": users}}


def uid(pod):
    """A pod whose uid is its name, as ``held`` reserves claims."""
    pod["metadata"]["uid"] = pod["metadata"]["name"]
    return pod


def waits(result, cycle=0):
    """Why the only podgroup that waits does."""
    (reason,) = reasons(result, cycle).values()
    return reason


def devices(result, pod, cycle=0):
    (given,) = binds(result, cycle)[pod]["claims"]
    return [one["device"] for one in given["allocation"]["devices"]["results"]]


def test_a_fixed_amount_counts_for_each_device():
    result = planned(slice_of("n1", 8, **TAKES), claim("c", 2), claim("d"), using("a", "c"), using("b", "d"))
    assert list(binds(result)) == ["default/a"]
    reason = waits(result)
    assert (reason["code"], reason["details"]["why"]) == ("DevicesUnavailable", "NodeTooFull")
    assert (reason["details"]["node memory"], reason["details"]["left memory"]) == (100 * GI, 56 * GI)
    assert "take more of their node than is left (100 GiB memory, 56 GiB left) on n1" in reason["message"]
    assert "1 has too little left of what its devices take of it" in reason["message"]


def test_a_multiple_of_the_capacity_that_is_consumed_counts():
    """64 cores: 20 of the pool are 40, 12 more are 24, and 13 would be 26."""
    pods = [using("a", "c"), using("b", "d")]
    assert len(binds(planned(slice_of("n1", 1, **CORES), part("c", "20"), part("d", "12"), *pods))) == 2
    result = planned(slice_of("n1", 1, **CORES), part("c", "20"), part("d", "13"), *pods)
    assert list(binds(result)) == ["default/a"]
    assert "(26 CPU, 24 CPU left)" in waits(result)["message"]


def test_it_is_taken_beside_what_the_pod_asks_for_itself():
    devices_of_1 = slice_of("n1", 1, **TAKES)
    assert binds(planned(devices_of_1, claim("c"), using("a", "c", memory="156Gi")))
    result = planned(devices_of_1, claim("c"), using("a", "c", memory="157Gi"))
    assert "(100 GiB memory, 99 GiB left)" in waits(result)["message"]


def test_beside_the_largest_of_init_containers_and_containers():
    made = using("a", "c", memory="10Gi")
    made["spec"]["initContainers"] = [{"name": "init", "resources": {"requests": {"memory": "156Gi"}}}]
    assert binds(planned(slice_of("n1", 1, **TAKES), claim("c"), made))
    made["spec"]["initContainers"][0]["resources"]["requests"]["memory"] = "157Gi"
    assert not binds(planned(slice_of("n1", 1, **TAKES), claim("c"), made))


def test_it_counts_against_pods_without_claims():
    plain = using("b", memory="157Gi")
    result = planned(slice_of("n1", 1, **TAKES), claim("c"), using("a", "c"), plain)
    assert list(binds(result)) == ["default/a"]
    assert waits(result)["code"] == "PodSchedulingErrors"


def test_what_a_pod_asks_for_as_a_whole_includes_its_devices():
    """kube-scheduler: the amount of the pod stands for its containers and its devices, and has to be enough."""
    enough = using("a", "c", memory="50Gi", pod_level={"memory": "150Gi"})
    result = planned(slice_of("n1", 2, **TAKES), claim("c"), enough, using("b", memory="106Gi"))
    assert sorted(binds(result)) == ["default/a", "default/b"]
    little = using("a", "c", memory="50Gi", pod_level={"memory": "149Gi"})
    result = planned(slice_of("n1", 2, **TAKES), claim("c"), little)
    assert "(100 GiB memory, 99 GiB left)" in waits(result)["message"]


def test_a_claim_that_no_container_uses_may_take_nothing():
    made = using("a", "c")
    del made["spec"]["containers"][0]["resources"]["claims"]
    result = planned(slice_of("n1", 1, **TAKES), claim("c"), made)
    assert waits(result)["details"]["why"] == "ClaimOfNoContainer"
    assert "no container uses the claim" in waits(result)["message"]
    assert binds(planned(slice_of("n1", 1), claim("c"), made))


def test_devices_that_take_of_nodes_serve_no_extended_resources():
    """No container uses their claim, and kube-scheduler refuses them, too."""
    kind = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": "fast"},
        "spec": {"extendedResourceName": "example.com/fast"},
    }
    made = using("a")
    made["spec"]["containers"][0]["resources"]["requests"]["example.com/fast"] = "1"
    assert binds(planned(kind, slice_of("n1", 1), made))
    assert not binds(planned(kind, slice_of("n1", 1, **TAKES), made))


def test_pods_of_one_node_cannot_share_a_claim_that_takes_something():
    result = planned(slice_of("n1", 1, **TAKES), claim("c"), using("a", "c"), using("b", "c"))
    assert list(binds(result)) == ["default/a"]
    assert waits(result)["details"]["why"] == "ClaimUsedOnNode"
    assert len(binds(planned(slice_of("n1", 1), claim("c"), using("a", "c"), using("b", "c")))) == 2


def test_pods_of_different_nodes_can_and_each_node_pays():
    wide = slice_of("n1", 1, **TAKES)
    del wide["spec"]["nodeName"]
    wide["spec"]["allNodes"] = True
    fill = [using(f"x{n}", memory="157Gi") for n in range(2)]
    result = planned(node("n2", 0), wide, claim("c"), using("a", "c"), using("b", "c"), *fill)
    assert sorted(binds(result)) == ["default/a", "default/b"]
    assert len({one["node"] for one in binds(result).values()}) == 2


def test_admin_access_takes_nothing():
    looks = claim("c", 4)
    looks["spec"]["devices"]["requests"][0]["exactly"]["adminAccess"] = True
    assert binds(planned(slice_of("n1", 4, **TAKES), looks, using("a", "c")))


def test_a_claim_that_has_its_devices_counts_with_the_pod_that_joins_it():
    free = [slice_of("n1", 2, **TAKES), held("c", "gpu-0", "gpu-1"), using("a", "c", memory="56Gi")]
    assert binds(planned(*free))
    result = planned(*free[:2], using("a", "c", memory="57Gi"))
    assert "(200 GiB memory, 199 GiB left)" in waits(result)["message"]


def test_pods_that_run_count_after_a_restart_by_their_claims():
    base = [slice_of("n1", 3, **TAKES), held("c", "gpu-0", "gpu-1", by=["a"]), uid(using("a", "c", on="n1"))]
    assert binds(planned(*base, using("b", memory="56Gi")))
    assert not binds(planned(*base, using("b", memory="57Gi")))


def test_a_claim_that_two_pods_of_a_node_use_already_counts_once():
    pods = [uid(using(name, "c", on="n1")) for name in ("a", "b")]
    base = [slice_of("n1", 3, **TAKES), held("c", "gpu-0", "gpu-1", by=["a", "b"]), *pods]
    assert binds(planned(*base, using("d", memory="56Gi")))
    assert not binds(planned(*base, using("d", memory="57Gi")))


@pytest.mark.parametrize("status", ["150Gi", "90Gi"])
def test_what_the_status_of_a_pod_says_counts_even_if_the_driver_is_gone(status):
    runs = uid(using("a", "c", on="n1"))
    runs["status"] = {
        "nodeAllocatableResourceClaimStatuses": [
            {"resourceClaimName": "c", "containers": ["main"], "resources": {"memory": status}}
        ]
    }
    left = 256 - int(status[:-2])
    for slices in ([slice_of("n1", 2, **TAKES)], []):
        base = [*slices, held("c", "gpu-0", by=["a"]), runs]
        assert binds(planned(*base, using("b", memory=f"{left}Gi")))
        assert not binds(planned(*base, using("b", memory=f"{left + 1}Gi")))


def test_an_unknown_or_missing_resource_of_a_node_is_none_at_all():
    pages = {"nodeAllocatableResourceMappings": {"hugepages-2Mi": {"allocationMultiplier": "2Mi"}}}
    result = planned(slice_of("n1", 1, **pages), claim("c"), using("a", "c"))
    assert not binds(result)
    assert "hugepages-2Mi" in waits(result)["message"]


def test_alternatives_and_devices_that_take_less_of_the_node_are_found():
    """The first devices that a search finds are not the only ones: kube-scheduler gives the node up here."""
    pool = slice_of("n1", 4, **TAKES)
    pool["spec"]["devices"][2].update(nodeAllocatableResourceMappings={"memory": {"allocationMultiplier": "1Gi"}})
    pool["spec"]["devices"][3].pop("nodeAllocatableResourceMappings")
    result = planned(pool, claim("c", 3), using("a", "c", memory="100Gi"))
    assert sorted(devices(result, "default/a"))[-2:] == ["gpu-2", "gpu-3"]
    chosen = claim("c")
    exactly = chosen["spec"]["devices"]["requests"][0].pop("exactly")
    ways = [{**exactly, "name": "many", "count": 4}, {**exactly, "name": "few", "count": 1}]
    chosen["spec"]["devices"]["requests"][0]["firstAvailable"] = ways
    result = planned(slice_of("n1", 4, **TAKES), chosen, using("a", "c"))
    assert len(devices(result, "default/a")) == 1


def test_a_node_with_room_is_found_behind_many_without():
    full = [using(f"x{n}", memory="200Gi", on=f"m{n:02}") for n in range(40)]
    nodes = [node(f"m{n:02}", 0) for n in range(40)]
    slices = [slice_of(f"m{n:02}", 4, **TAKES) for n in range(40)]
    result = planned(*nodes, *slices, *full, node("z", 0), slice_of("z", 8, **TAKES), claim("c"), using("a", "c"))
    assert binds(result)["default/a"]["node"] == "z"


def test_a_gang_gets_places_for_all_or_for_none():
    def gang(count):
        pods = [using(f"g{n}", f"c{n}") for n in range(count)]
        for one in pods:
            one["metadata"]["annotations"]["pod-group-name"] = "g"
        return [podgroup("g", count), *(claim(f"c{n}") for n in range(count)), *pods]

    assert len(binds(planned(slice_of("n1", 4, **TAKES), *gang(2)))) == 2
    assert not binds(planned(slice_of("n1", 4, **TAKES), *gang(3)))


def test_who_is_more_important_gets_the_memory_of_devices():
    """Devices are left, the memory that they need is not."""
    base = [slice_of("n1", 8, **TAKES), held("c", "gpu-0", "gpu-1", by=["a"]), uid(using("a", "c", on="n1"))]
    result = planned(*base, URGENT, claim("d"), using("b", "d", priorityClassName="urgent"))
    (gone,) = result["cycles"][0]["evictions"]
    assert gone["pod"] == "default/a"
    assert [one["pod"] for one in result["cycles"][0]["nominations"]] == ["default/b"]


def test_reclaim_gives_a_queue_back_the_memory_that_devices_take():
    queues = [queue("poor", 0), queue("rich", 8)]
    base = [
        slice_of("n1", 8, **TAKES),
        held("c", "gpu-0", "gpu-1", by=["a"]),
        uid(using("a", "c", on="n1", queue="poor")),
    ]
    base[1]["metadata"]["labels"]["kai.scheduler/queue"] = "poor"
    mine = claim("d", of="rich")
    result = planned(*queues, *base, mine, using("b", "d", queue="rich"))
    assert [one["pod"] for one in result["cycles"][0]["evictions"]] == ["default/a"]


def test_a_queue_pays_for_the_cores_that_its_devices_take():
    small = queue("small")
    small["spec"]["resources"]["cpu"] = {"quota": 10_000, "limit": 10_000, "overQuotaWeight": 1}
    for cores, fits in (("5", True), ("6", False)):
        mine = part("c", cores)
        mine["metadata"]["labels"]["kai.scheduler/queue"] = "small"
        result = planned(small, slice_of("n1", 1, **CORES), mine, using("a", "c", queue="small"))
        assert bool(binds(result)) is fits
    assert waits(result)["code"] == "OverLimit"
