"""Whatever is sent, the answer is an object or our error: never anybody else's exception."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.api.decode import decode
from kai_py.api.model import CustomResource
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.api.resource import ResourceClaim, ResourceSlice
from kai_py.api.topology import Topology
from kai_py.errors import MalformedObjectError

KEYS = [
    *("metadata", "name", "namespace", "labels", "ownerReferences", "kind", "uid"),
    *("spec", "status", "containers", "resources", "requests", "limits", "affinity", "nodeAffinity", "tolerations"),
    *("subGroups", "parent", "minMember", "minSubGroup", "levels", "nodeLabel", "alias", "preemptionDelay"),
    *("gpu", "cpu", "quota", "limit", "additional", "allowedNamespaces", "matchLabels", "matchExpressions"),
    *("devices", "exactly", "pool", "attributes", "int", "conditions", "allocated"),
]
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["a", "1", "1s"])
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
)
objects = st.fixed_dictionaries(
    {"metadata": st.just({"name": "x"}) | documents, "spec": st.dictionaries(st.sampled_from(KEYS), documents)},
    optional={"status": documents},
)


@pytest.mark.parametrize("kind", [Pod, Node, ResourceClaim, ResourceSlice])
@settings(max_examples=40, deadline=None)
@given(obj=objects | documents)
def test_structs_answer_every_document(kind, obj):
    read = None
    with suppress(MalformedObjectError):
        read = decode(kind, json.dumps(obj).encode())
    assert read is None or isinstance(read, kind)


@pytest.mark.parametrize("kind", [Queue, PodGroup, Topology])
@settings(max_examples=40, deadline=None)
@given(obj=objects | documents)
def test_models_answer_every_object_and_what_they_accept_they_write_back(kind: type[CustomResource], obj):
    with suppress(MalformedObjectError):
        read = kind.parse(obj)
        assert kind.parse(read.to_manifest()) == read
