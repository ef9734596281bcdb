"""Placing steps, and remembering what did not fit for as long as that stays true."""

from kai_py.core.gangs.members import Members
from kai_py.core.gangs.steps import Gang as Requirement
from kai_py.core.options import Action, Options
from kai_py.core.placement.gang import Placer
from kai_py.core.result import ReasonCode
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from tests.core.builders import Gang, Pod, cluster, running


class Scene:
    def __init__(self, **what):
        self.snapshot = cluster(**what)
        self.ledger = Ledger(self.snapshot)
        self.transaction = Transaction(self.ledger)
        self.placer = Placer(self.ledger, Options())
        self.members = Members(self.snapshot)

    def place(self, name):
        row = [key.name for key in self.snapshot.podgroups.keys].index(name)
        gang = Requirement(row, self.members.trees[row], self.members, self.ledger)
        return self.placer.place(gang, gang.next_step(), self.transaction, action=Action.ALLOCATE)

    def evict(self, name):
        pod = [key.name for key in self.snapshot.pods.keys].index(name)
        self.transaction.evict(pod, action=Action.RECLAIM, preemptor=0)


def test_a_step_that_fails_leaves_everything_as_it_was():
    scene = Scene(nodes={"a": 4}, gangs={"g": 5})
    before = scene.ledger.free.tobytes()
    assert scene.place("g").code is ReasonCode.GANG_DOES_NOT_FIT
    assert scene.ledger.free.tobytes() == before
    assert scene.transaction.journal == []


def test_how_many_found_places_is_known_for_others_of_the_class():
    scene = Scene(nodes={"a": 4}, gangs={"g5": 5, "g9": 9, "g4": 4})
    assert scene.place("g5").details["placed"] == 4
    views = len(scene.ledger.touched)
    assert scene.place("g9").details == {"nodes": 1, "placed": 4, "pods": 9}
    assert len(scene.ledger.touched) == views
    assert scene.place("g4") is None


def test_a_mixture_with_too_many_of_a_class_is_not_tried():
    scene = Scene(nodes={"a": 4}, gangs={"five": 5, "mixed": Gang([Pod(0, cpu=1), *[Pod()] * 5])})
    scene.place("five")
    touched = len(scene.ledger.touched)
    assert scene.place("mixed").code is ReasonCode.GANG_DOES_NOT_FIT
    assert len(scene.ledger.touched) == touched


def test_the_same_mixture_is_not_tried_twice():
    pods = [Pod(2), Pod(3)]
    scene = Scene(nodes={"a": 4}, gangs={"g": Gang(pods), "h": Gang(pods)})
    scene.place("g")
    touched = len(scene.ledger.touched)
    assert scene.place("h").code is ReasonCode.GANG_DOES_NOT_FIT
    assert len(scene.ledger.touched) == touched


def test_an_eviction_makes_what_failed_worth_another_try():
    scene = Scene(nodes={"a": 4}, gangs={"g": 3, "m": Gang([Pod(1), Pod(2)]), "v": Gang([running("a", 4)])})
    assert scene.place("g") is not None
    assert scene.place("m") is not None
    scene.evict("v-0")
    assert scene.place("g") is None


def test_a_rollback_makes_what_failed_worth_another_try():
    scene = Scene(nodes={"a": 4}, gangs={"g": Gang([Pod(4)]), "h": Gang([Pod(3)])})
    start = scene.transaction.checkpoint()
    assert scene.place("g") is None
    assert scene.place("h") is not None
    scene.transaction.rollback(start)
    assert scene.place("h") is None
