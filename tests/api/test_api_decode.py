import json

import msgspec
import pytest

from kai_py.api.decode import convert, decode
from kai_py.api.meta import PartialObject
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.errors import MalformedObjectError


def pod(**fields):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default", "name": "a"}, **fields}


def read(obj, struct_type=Pod):
    return decode(struct_type, json.dumps(obj).encode())


def test_fields_that_nobody_reads_are_skipped():
    assert read(pod(spec={"containers": [], "dnsPolicy": "ClusterFirst"})).metadata.key == ("default", "a")


def test_null_means_absent_as_go_servers_send_it():
    spec = {"containers": [{"name": "c", "resources": {"requests": None}}], "tolerations": None, "nodeSelector": None}
    read_back = read({**pod(spec=spec), "status": None})
    assert read_back.spec.tolerations == ()
    assert dict(read_back.spec.node_selector) == {}
    assert dict(read_back.spec.containers[0].resources.requests) == {}
    assert read_back.status.phase == ""


def test_names_that_are_not_plain_camel_case_are_read():
    spec = {
        "containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.1"}]}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["h100"]}]}]
                }
            }
        },
        "volumes": [{"name": "v", "awsElasticBlockStore": {"volumeID": "vol-1"}}],
    }
    read_back = read(pod(spec=spec)).spec
    assert read_back.containers[0].ports[0].host_ip == "10.0.0.1"
    assert read_back.affinity.node_affinity.required.node_selector_terms[0].match_expressions[0].values == ("h100",)
    assert read_back.volumes[0].aws_elastic_block_store.volume_id == "vol-1"


def test_a_fault_names_the_object_and_the_field():
    with pytest.raises(MalformedObjectError) as caught:
        read(pod(spec={"containers": [], "tolerations": [{"key": 5}]}))
    (fault,) = caught.value.faults
    assert (fault.where, fault.field) == ("Pod default/a", "spec.tolerations[0].key")
    assert "`str`" in fault.message


def test_a_fault_in_a_map_names_the_map():
    with pytest.raises(MalformedObjectError) as caught:
        read({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": []}}}, Node)
    assert caught.value.faults[0].field == "status.allocatable[...]"


@pytest.mark.parametrize("data", [b"", b"{", b"[1", b"[]", b"null", b'{"metadata": {}}', b"\xff", b"[" * 100_000])
def test_whatever_the_bytes_are_the_error_is_ours(data):
    with pytest.raises(MalformedObjectError, match="Pod"):
        decode(Pod, data)


def test_a_dictionary_gives_the_same_object_as_its_bytes():
    obj = pod(spec={"containers": [{"name": "c", "resources": {"requests": {"cpu": 2, "memory": "1Gi"}}}]})
    assert convert(Pod, obj) == read(obj)


def test_the_raw_object_of_a_watch_event_is_accepted():
    assert decode(PartialObject, msgspec.Raw(b'{"kind": "Job", "metadata": {"name": "j"}}')).kind == "Job"


def test_the_controller_is_the_owner_that_says_so():
    owners = [
        {"apiVersion": "v1", "kind": "A", "name": "a"},
        {"apiVersion": "batch/v1", "kind": "Job", "name": "b", "controller": True},
    ]
    meta = read({"metadata": {"name": "a", "ownerReferences": owners}}).metadata
    assert (meta.controller.name, meta.controller.group) == ("b", "batch")


def test_absent_maps_share_one_object_that_nobody_can_write_to():
    first, second = read(pod()), read(pod())
    assert first.metadata.labels is second.metadata.labels
    with pytest.raises(TypeError):
        first.metadata.labels["x"] = "y"
