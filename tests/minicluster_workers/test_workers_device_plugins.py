"""GPUs of nodes with a device plugin: each held by one pod, and what containers have to know before they start."""

from __future__ import annotations

from kai_py.minicluster.workers.device_plugins import DevicePlugin, gpus_on, is_reservation

from .manifests import pod
from .world import World

DEVICE = "run.ai/reserve_for_gpu_index"
OFFERED = (("nvidia.com/gpu", 2),)


def test_a_gpu_is_held_by_one_pod_at_a_time():
    plugin = DevicePlugin()
    first, second = gpus_on("a", 2)
    assert plugin.device_of("u1", "a", 1, OFFERED) == first
    assert plugin.device_of("u2", "a", 1, OFFERED) == second
    assert plugin.device_of("u1", "a", 1, OFFERED) == first
    plugin.release("u1")
    plugin.release("never seen")
    assert plugin.device_of("u3", "a", 1, OFFERED) == first
    assert plugin.device_of("u4", "b", 2, OFFERED) == ",".join(gpus_on("b", 2))
    assert plugin.device_of("u5", "a", 0, OFFERED) == ""


def test_a_reservation_pod_is_known_by_its_image():
    def with_image(image):
        return is_reservation({"spec": {"containers": [{"image": image}]}})

    assert with_image("ghcr.io/nvidia/kai-scheduler/resourcereservation:v0.13.0")
    assert with_image("registry:5000/resourcereservation@sha256:0")
    assert not with_image("ghcr.io/nvidia/kai-scheduler/binder:v0.13.0")


async def test_the_container_of_a_reservation_pod_says_which_gpu_it_has_and_others_do_not(world: World):
    [node] = world.add_nodes()
    holding, other = pod("holding"), pod("other")
    holding["spec"]["containers"][0]["image"] = "example.com/resourcereservation:1"
    for one in (holding, other):
        one["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": 1}}
    await world.run_on(node, holding, other)
    assert world.pod("holding")["metadata"]["annotations"][DEVICE] in gpus_on(node, 8)
    assert DEVICE not in world.pod("other")["metadata"].get("annotations", {})
    assert world.phase("holding") == world.phase("other") == "Running"


async def test_a_container_does_not_start_before_its_configmap_is_there(world: World):
    [node] = world.add_nodes()
    one = pod()
    source = {"configMapKeyRef": {"name": "seen", "key": "DEVICES"}}
    one["spec"]["containers"][0]["env"] = [{"name": "DEVICES", "valueFrom": source}]
    one["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "no-matter", "optional": True}}]
    await world.run_on(node, one)
    await world.pass_(10)
    assert world.phase() == "Pending"
    world.storage.create("configmaps", {"metadata": {"name": "seen", "namespace": "default"}, "data": {}})
    await world.pass_(10)
    assert world.phase() == "Pending"
    world.storage.patch("configmaps", "seen", {"data": {"DEVICES": "GPU-1"}}, "default")
    await world.pass_(2)
    assert world.phase() == "Running"
