"""Claims are got, and given back, whatever others do to them meanwhile."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kai_py.api.decode import convert
from kai_py.api.keys import ALLOCATED_ANNOTATION, CLAIM_PROTECTION
from kai_py.api.meta import ObjectMeta
from kai_py.api.pod import Pod
from kai_py.api.resource import (
    AllocatedDevice,
    Allocation,
    Consumer,
    DeviceAllocation,
    ResourceClaim,
    ResourceClaimStatus,
)
from kai_py.api.workload import Workload
from kai_py.cluster.claims import ClaimBook
from kai_py.core.tables.pods import PodKey
from kai_py.errors import (
    ClaimRefusedError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from kai_py.operators import claims as claims_module
from kai_py.operators.claims import ClaimKeeper
from kai_py.telemetry.metrics import Metrics

NAME = "ns", "c"
POD, OTHER = PodKey("ns", "p", "uid-p"), PodKey("ns", "q", "uid-q")
WHEN = "2026-05-04T03:02:01Z"
MARK = {ALLOCATED_ANNOTATION: f"kai {WHEN}"}
PERMISSION = InvalidError("no", causes=[("FieldValueForbidden", "status.allocation", "needs resourceclaims/binding")])


def devices(name="a", when=WHEN):
    return Allocation(DeviceAllocation((AllocatedDevice("r", "d", "p", name),)), None, when)


def claim(version=1, *, name="c", has=None, reserved=(), annotations=None, deleted=None):
    meta = ObjectMeta(
        name, "ns", f"uid-{name}", str(version), annotations=annotations or {}, deletion_timestamp=deleted
    )
    consumers = tuple(Consumer("pods", one, f"uid-{one}") for one in reserved)
    return ResourceClaim(meta, status=ResourceClaimStatus(has, consumers))


class Server:
    """One claim with versions. ``faults`` are raised one after the other, before a write or (``late``) after it."""

    def __init__(self, stored):
        self.stored = stored
        self.faults = []
        self.late = []
        self.did = []

    async def read(self, *_name):
        self.did.append("read")
        if self.stored is None:
            raise NotFoundError("gone", status=404)
        return self.stored

    async def protect(self, seen, annotations):
        meta = seen.metadata
        finalizers = (*meta.finalizers, CLAIM_PROTECTION)
        status = self.stored.status if self.stored is not None else ResourceClaimStatus()
        return self._write("protect", seen, replace(meta, finalizers=finalizers, annotations=annotations), status)

    async def allocate(self, seen, allocation, consumers):
        consumers = (*seen.status.reserved_for, *consumers)
        return self._write("allocate", seen, seen.metadata, ResourceClaimStatus(allocation, consumers))

    async def reserve(self, seen, consumers):
        consumers = (*seen.status.reserved_for, *consumers)
        return self._write("reserve", seen, seen.metadata, replace(seen.status, reserved_for=consumers))

    async def give_back(self, seen, kept, *, free):
        status = replace(seen.status, reserved_for=tuple(kept), allocation=None if free else seen.status.allocation)
        return self._write("free" if free else "unreserve", seen, seen.metadata, status)

    def _write(self, what, seen, meta, status):
        self.did.append(what)
        if self.faults:
            raise self.faults.pop(0)
        if self.stored is None:
            raise NotFoundError("gone", status=404)
        if seen.metadata.resource_version != self.stored.metadata.resource_version:
            raise ConflictError("modified", status=409)
        version = str(int(self.stored.metadata.resource_version) + 1)
        self.stored = ResourceClaim(replace(meta, resource_version=version), status=status)
        if self.late:
            raise self.late.pop(0)
        return self.stored

    def others_change(self, **changes):
        """Somebody else writes, and no watch has told us."""
        version = str(int(self.stored.metadata.resource_version) + 1)
        self.stored = replace(claim(**changes), metadata=replace(self.stored.metadata, resource_version=version))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    async def sleep(_seconds):
        pass

    monkeypatch.setattr(claims_module.asyncio, "sleep", sleep)


def made(stored, *, decided=None):
    book, server = ClaimBook("kai"), Server(stored)
    book.put(stored)
    if decided is not None:
        book.objects.assume(NAME, "uid-c", decided)
        book.objects.join(NAME, POD)
    keeper = ClaimKeeper(book, server, Metrics())
    return book, server, keeper


def reserved(server):
    return [one.name for one in server.stored.status.reserved_for]


async def secure(book, keeper, *pods):
    await keeper.secure(NAME, pods or (POD,), book.objects.devices(NAME))


async def test_a_new_allocation_is_two_writes_and_no_reading():
    book, server, keeper = made(claim(), decided=devices())
    await secure(book, keeper, POD, OTHER)
    assert server.did == ["protect", "allocate"]
    assert server.stored.metadata.annotations == MARK
    assert (server.stored.status.allocation, reserved(server)) == (devices(), ["p", "q"])
    assert book.objects.by_name[NAME] == server.stored
    assert book.objects.unwritten(NAME) is None


async def test_what_is_written_already_is_not_written_again():
    book, server, keeper = made(claim(has=devices(), reserved=("p",)))
    await secure(book, keeper)
    assert server.did == []
    await secure(book, keeper, POD, OTHER)
    assert (server.did, reserved(server)) == (["reserve"], ["p", "q"])


async def test_a_claim_that_others_have_changed_is_read_and_tried_again():
    book, server, keeper = made(claim(), decided=devices())
    server.others_change()
    await secure(book, keeper)
    assert server.did == ["protect", "read", "protect", "allocate"]
    assert server.stored.status.allocation == devices()


async def test_a_write_whose_answer_was_lost_is_recognised():
    book, server, keeper = made(claim(), decided=devices())
    server.late = [UnavailableError("lost"), UnavailableError("lost")]
    await secure(book, keeper)
    assert server.did == ["protect", "protect", "read", "allocate", "allocate", "read"]
    assert server.stored.status.allocation == devices()
    assert reserved(server) == ["p"]


async def test_devices_that_others_gave_it_meanwhile_are_not_ours():
    book, server, keeper = made(claim(), decided=devices())
    server.others_change(has=devices("b"))
    with pytest.raises(ClaimRefusedError, match="ns/c: it was given other devices meanwhile"):
        await secure(book, keeper)
    assert server.stored.status.allocation == devices("b")
    assert reserved(server) == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (ForbiddenError("403 here", status=403), "we are not allowed to: 403 here"),
        (PERMISSION, "we are not allowed to: no"),
        (InvalidError("malformed", status=422), "malformed"),
        (NotFoundError("gone", status=404), "it does not exist any more"),
    ],
)
async def test_refusals_are_told_apart(fault, words):
    book, server, keeper = made(claim(), decided=devices())
    server.faults = [fault]
    with pytest.raises(ClaimRefusedError, match=words):
        await secure(book, keeper)
    assert server.stored.status.allocation is None


async def test_a_claim_that_changes_all_the_time_is_given_up():
    book, server, keeper = made(claim(), decided=devices())
    server.faults = [ConflictError("modified", status=409)] * 5
    with pytest.raises(ClaimRefusedError, match="modified"):
        await secure(book, keeper)
    assert server.did.count("protect") == 5


async def test_a_server_that_does_not_answer_is_asked_again():
    book, server, keeper = made(claim(), decided=devices())
    server.faults = [UnavailableError("no answer")] * 3
    await secure(book, keeper)
    assert server.did == ["protect"] * 4 + ["allocate"]


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (claim(has=devices(), deleted=WHEN), "it is being deleted"),
        (claim(), "it has no devices any more"),
        (claim(has=devices(), reserved=[str(number) for number in range(256)]), "it serves 256 consumers already"),
    ],
)
async def test_a_claim_that_serves_nobody_more_is_refused_unasked(stored, words):
    book, server, keeper = made(stored)
    with pytest.raises(ClaimRefusedError, match=words):
        await secure(book, keeper)
    assert server.did == []


async def test_nobody_takes_a_device_that_another_claim_has_on_the_server():
    book, server, keeper = made(claim(), decided=devices())
    book.put(claim(name="foreign", has=devices()))
    with pytest.raises(ClaimRefusedError, match="ns/foreign was given the same device"):
        await secure(book, keeper)
    assert server.did == []


@pytest.mark.parametrize(
    ("when", "marked", "loses"),
    [
        ("2026-05-04T03:02:00Z", True, True),
        ("2026-05-04T03:02:02Z", True, False),
        ("2026-05-04T03:02:02Z", False, True),
    ],
)
def test_of_two_that_know_the_rule_the_first_keeps_a_device_others_always(when, marked, loses):
    book, _, keeper = made(claim(has=devices(), annotations=MARK))
    annotations = {ALLOCATED_ANNOTATION: f"else {when}"} if marked else {}
    book.put(claim(name="theirs", has=devices(when=when), annotations=annotations))
    assert (keeper.contested(NAME) is not None) is loses
    if marked:
        assert (keeper.contested(("ns", "theirs")) is not None) is not loses


async def test_what_nobody_uses_any_more_is_free_if_we_allocated_it():
    _, server, keeper = made(claim(has=devices(), reserved=("p",), annotations=MARK))
    await keeper.give_back(NAME, frozenset({"uid-p"}))
    assert (server.did, server.stored.status.allocation) == (["free"], None)


@pytest.mark.parametrize(("users", "annotations"), [(("p", "q"), MARK), (("p",), {})])
async def test_what_others_use_or_allocated_keeps_its_devices(users, annotations):
    _, server, keeper = made(claim(has=devices(), reserved=users, annotations=annotations))
    await keeper.give_back(NAME, frozenset({"uid-p"}))
    assert (server.did, server.stored.status.allocation) == (["unreserve"], devices())
    assert reserved(server) == [one for one in users if one != "p"]


async def test_nothing_is_given_back_that_was_not_written():
    book, server, keeper = made(claim(), decided=devices())
    await keeper.give_back(NAME, frozenset({"uid-p"}))
    book.objects.release(NAME, POD)
    await keeper.give_back(NAME, frozenset({"uid-p"}))
    assert server.did == []


async def test_giving_back_what_has_changed_looks_first():
    _, server, keeper = made(claim(has=devices(), reserved=("p",), annotations=MARK))
    server.others_change(has=devices(), reserved=("p", "q"))
    await keeper.give_back(NAME, frozenset({"uid-p"}))
    assert (server.did, reserved(server)) == (["free", "read", "unreserve"], ["q"])


# -- through a PodGroup -------------------------------------------------------------------------------

PARTS = [PodKey("ns", f"p-{number}", f"uid-{number}") for number in range(300)]
GROUP = Consumer("podgroups", "group", "uid-group", "scheduling.k8s.io")


def member(key):
    entry = {"name": "dev", "resourceClaimName": "c"}
    meta = {"name": key.name, "namespace": key.namespace, "uid": key.uid}
    spec = {"resourceClaims": [entry], "schedulingGroup": {"podGroupName": "group"}}
    return convert(Pod, {"metadata": meta, "spec": spec})


def shared(stored, *, decided=None, waiting=()):
    """A claim that pods use through their group; those that are ``waiting`` have nothing on its way for them."""
    book, server, keeper = made(stored, decided=decided)
    spec = {"resourceClaims": [{"name": "dev", "resourceClaimName": "c"}]}
    found = Workload(metadata=ObjectMeta("group", "ns", "uid-group"), spec=spec)
    book.pod_groups.find = lambda _name: found
    book.pod_groups.waits = lambda key: key in waiting
    for key in PARTS:
        book.see(key, member(key))
    return book, server, keeper


def reserved_for_group(has=None):
    return replace(claim(annotations=MARK), status=ResourceClaimStatus(has or devices(), (GROUP,)))


async def test_a_claim_of_a_group_is_reserved_once_for_all_its_pods():
    book, server, keeper = shared(claim(), decided=devices())
    await secure(book, keeper, *PARTS)
    assert server.did == ["protect", "allocate"]
    assert server.stored.status.reserved_for == (GROUP,)
    await secure(book, keeper, *PARTS[:3])
    assert server.did == ["protect", "allocate"]


async def test_a_reservation_for_the_group_that_others_have_made_meanwhile_is_enough():
    book, server, keeper = shared(claim(has=devices()))
    version = replace(server.stored.metadata, resource_version="2")
    server.stored = replace(reserved_for_group(), metadata=version)
    await secure(book, keeper, *PARTS)
    assert server.did == ["reserve", "read"]
    assert server.stored.status.reserved_for == (GROUP,)


@pytest.mark.parametrize("lost", [["protect"], ["protect", "allocate"]])
async def test_answers_that_are_lost_reserve_nothing_twice(lost):
    book, server, keeper = shared(claim(), decided=devices())
    server.late = [UnavailableError("lost") for _ in lost]
    await secure(book, keeper, *PARTS)
    assert server.stored.status == ResourceClaimStatus(devices(), (GROUP,))


async def test_a_group_beside_256_others_is_refused():
    others = [str(number) for number in range(1000, 1256)]
    book, server, keeper = shared(claim(has=devices(), reserved=others))
    with pytest.raises(ClaimRefusedError, match="it serves 256 consumers already"):
        await secure(book, keeper, *PARTS)
    assert server.did == []


async def test_pods_that_step_back_together_give_back_what_their_group_has():
    _book, server, keeper = shared(reserved_for_group(), waiting=PARTS[2:])
    await keeper.give_back(NAME, frozenset({"uid-0"}))
    assert server.did == []
    await keeper.give_back(NAME, frozenset({"uid-0", "uid-1"}))
    assert server.did == ["free"]
    assert server.stored.status == ResourceClaimStatus()


async def test_a_pod_that_starts_while_its_group_gives_back_keeps_the_claim():
    waiting = set(PARTS)
    book, server, keeper = shared(reserved_for_group(), waiting=waiting)
    waiting.discard(PARTS[7])  # it was decided a moment ago
    await keeper.give_back(NAME, frozenset({"uid-group"}))
    await secure(book, keeper, PARTS[7])
    assert server.did == []


async def test_a_group_that_was_served_by_devices_of_others_only_loses_its_reservation():
    stored = replace(reserved_for_group(), metadata=claim().metadata)
    _book, server, keeper = shared(stored, waiting=PARTS)
    await keeper.give_back(NAME, frozenset({"uid-3"}))
    assert server.did == ["unreserve"]
    assert server.stored.status == ResourceClaimStatus(devices())
