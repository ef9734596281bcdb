"""Claims in the memory: what the watch shows, what answers show, and what is on its way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kai_py.api.keys import ALLOCATED_ANNOTATION
from kai_py.api.meta import ObjectMeta
from kai_py.api.resource import (
    AllocatedDevice,
    Allocation,
    Consumer,
    DeviceAllocation,
    ResourceClaim,
    ResourceClaimStatus,
)
from kai_py.cluster.claim_objects import ClaimObjects
from kai_py.core.tables.pods import PodKey

C, D = ("ns", "c"), ("ns", "d")
POD, OTHER = PodKey("ns", "p", "uid-p"), PodKey("ns", "q", "uid-q")
WHEN = "2026-05-04T03:02:01Z"


def given_devices(*devices: str, part: str | None = None, when: str | None = WHEN) -> Allocation:
    results = tuple(AllocatedDevice("r", "driver", "pool", device, share_id=part) for device in devices)
    return Allocation(DeviceAllocation(results), None, when)


def claim(
    version: int = 1,
    *,
    name: str = "c",
    uid: str = "",
    has: Allocation | None = None,
    reserved: tuple[str, ...] = (),
    annotations: dict[str, str] | None = None,
) -> ResourceClaim:
    meta = ObjectMeta(name, "ns", uid or f"uid-{name}", str(version), annotations=annotations or {})
    consumers = tuple(Consumer("pods", one, f"uid-{one}") for one in reserved)
    return ResourceClaim(meta, status=ResourceClaimStatus(has, consumers))


@pytest.fixture
def objects() -> ClaimObjects:
    return ClaimObjects({"uid-p", "uid-q"}, "kai")


def test_only_what_a_cycle_reads_matters(objects):
    assert objects.put(claim(1))
    assert not objects.put(claim(2))
    assert objects.put(claim(3, has=given_devices("a")))
    assert not objects.put(claim(4, has=given_devices("a"), reserved=("p",)))  # a pod that is known to use it
    assert objects.put(claim(5, has=given_devices("a"), reserved=("p", "stranger")))
    assert objects.put(claim(6, uid="another"))
    assert objects.drop(C)
    assert not objects.drop(C)


def test_an_older_version_changes_nothing_whichever_way_it_comes(objects):
    objects.put(claim(1))
    assert objects.put(claim(5, has=given_devices("a")), answer=True)
    assert not objects.put(claim(4))
    assert objects.devices(C) is not None
    assert not objects.put(claim(3), answer=True)
    assert objects.devices(C) is not None


def test_an_answer_about_a_claim_that_is_gone_or_made_anew_is_passed_over(objects):
    assert not objects.put(claim(9), answer=True)
    assert C not in objects.by_name
    objects.put(claim(10, uid="new"))
    assert not objects.put(claim(11, has=given_devices("a")), answer=True)
    assert objects.devices(C) is None


def test_what_we_wrote_is_unseen_until_the_watch_shows_it_or_more(objects):
    objects.put(claim(1))
    assert objects.shown(C)
    objects.put(claim(5), answer=True)
    assert not objects.shown(C)
    objects.put(claim(4))
    assert not objects.shown(C)
    objects.put(claim(5))
    assert objects.shown(C)
    objects.put(claim(7))
    objects.put(claim(6), answer=True)
    assert objects.shown(C)


def test_decided_devices_count_from_the_decision_on_and_the_echo_of_the_write_wakes_nobody(objects):
    objects.put(claim(1))
    objects.assume(C, "uid-c", given_devices("a"))
    objects.join(C, POD)
    assert objects.devices(C) is not None
    assert objects.unwritten(C) == given_devices("a")
    assert not objects.put(claim(2, annotations={"finalizer": "added"}))
    assert objects.unwritten(C) == given_devices("a")
    assert not objects.put(claim(3, has=given_devices("a"), reserved=("p",)), answer=True)
    assert objects.unwritten(C) is None
    assert not objects.put(claim(3, has=given_devices("a"), reserved=("p",)))


def test_devices_that_were_decided_in_vain_are_given_up_with_the_last_pod(objects):
    objects.put(claim(1))
    objects.assume(C, "uid-c", given_devices("a"))
    for pod in (POD, OTHER):
        objects.join(C, pod)
    objects.release(C, POD)
    assert objects.devices(C) is not None
    objects.release(C, OTHER)
    assert objects.devices(C) is None


def test_devices_that_another_scheduler_wrote_first_stand(objects):
    objects.put(claim(1))
    objects.assume(C, "uid-c", given_devices("a"))
    objects.join(C, POD)
    assert objects.put(claim(2, has=given_devices("b")))
    assert objects.unwritten(C) is None
    objects.release(C, POD)
    assert objects.by_name[C].status.allocation == given_devices("b")


def test_nothing_is_assumed_of_a_claim_that_was_made_anew_or_has_devices(objects):
    objects.put(claim(1, uid="new"))
    objects.assume(C, "uid-c", given_devices("a"))
    assert objects.devices(C) is None
    objects.put(claim(1, name="d", has=given_devices("b")))
    objects.assume(D, "uid-d", given_devices("a"))
    assert objects.unwritten(D) is None


def test_a_claim_is_unchanged_as_long_as_its_devices_are_those_of_the_snapshot(objects):
    objects.put(claim(1))
    assert not objects.unchanged(C)
    objects.note()
    objects.put(claim(2, reserved=("stranger",)))
    assert objects.unchanged(C)
    objects.put(claim(3, has=given_devices("a")))
    assert not objects.unchanged(C)
    objects.note()
    assert objects.unchanged(C)
    objects.drop(C)
    assert not objects.unchanged(C)
    objects.put(claim(9, has=given_devices("a")))
    assert not objects.unchanged(C)


def test_rivals_are_those_that_cannot_have_a_device_both(objects):
    objects.put(claim(1, has=given_devices("a", "b")))
    objects.put(claim(1, name="d", has=given_devices("b")))
    assert (list(objects.rivals(C)), list(objects.rivals(D))) == ([D], [C])
    objects.put(claim(2, has=given_devices("b", part="1")))
    assert list(objects.rivals(D)) == [C]
    objects.put(claim(2, name="d", has=given_devices("b", part="2")))
    assert list(objects.rivals(D)) == []


def test_the_mark_is_about_this_allocation_and_this_scheduler(objects):
    mine = {ALLOCATED_ANNOTATION: objects.mark(WHEN)}
    assert objects.ours(claim(has=given_devices("a"), annotations=mine))
    assert not objects.ours(claim(annotations=mine))
    assert not objects.ours(claim(has=given_devices("a", when="2026-05-04T03:02:02Z"), annotations=mine))
    assert not objects.ours(claim(has=given_devices("a"), annotations={ALLOCATED_ANNOTATION: f"else {WHEN}"}))
    assert not objects.ours(claim(has=given_devices("a", when=None), annotations=mine))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["watch", "answer", "drop", "assume", "release"]),
        st.sampled_from(["c", "d"]),
        st.integers(1, 9),
        st.sets(st.sampled_from("ab"), max_size=2),
        st.booleans(),
    ),
    max_size=25,
)


@given(STEPS)
def test_who_has_a_device_is_always_what_the_claims_say(steps):
    objects = ClaimObjects(set(), "kai")
    for step, name, version, devices, part in steps:
        has = given_devices(*sorted(devices), part="1" if part else None) if devices else None
        if step in ("watch", "answer"):
            objects.put(claim(version, name=name, has=has), answer=step == "answer")
        elif step == "drop":
            objects.drop(("ns", name))
        elif step == "assume" and has is not None:
            objects.assume(("ns", name), f"uid-{name}", has)
            objects.join(("ns", name), POD)
        else:
            objects.release(("ns", name), POD)
    rebuilt = ClaimObjects(set(), "kai")
    for one in objects.by_name.values():
        rebuilt.put(replace(one, metadata=replace(one.metadata, resource_version="")))
    assert objects._holders == rebuilt._holders
