from kai_py.core.gangs.members import Members
from kai_py.core.gangs.order import ABOVE_MINIMUM, AT_MINIMUM, BELOW_MINIMUM, Order, growth_stage
from kai_py.core.gangs.steps import WHOLE
from kai_py.core.gangs.steps import Gang as Requirement
from kai_py.core.options import Action
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.pods import PodState
from tests.core.builders import Gang, Pod, Sub, cluster, leaving, running

GATED = Pod(state=PodState.GATED)


class Scene:
    """One podgroup ``g``, whose steps may be placed on the one node."""

    def __init__(self, gang):
        self.snapshot = cluster(nodes={"a": 64}, gangs={"g": gang})
        ledger = Ledger(self.snapshot)
        self.transaction = Transaction(ledger)
        members = Members(self.snapshot)
        self.gang = Requirement(0, members.trees[0], members, ledger)

    def names(self, step):
        return None if step is None else [self.snapshot.pods.keys[pod].name.removeprefix("g-") for pod in step.pods]

    def next(self, exhausted=()):
        return self.names(self.gang.next_step(exhausted))

    def place(self, step=None, *, how="place"):
        for pod in (step or self.gang.next_step()).pods:
            getattr(self.transaction, how)(pod, 0, action=Action.ALLOCATE)

    def all_steps(self):
        steps = []
        while (step := self.gang.next_step()) is not None:
            steps.append(self.names(step))
            self.place(step)
        return steps


def test_a_gang_asks_for_its_whole_minimum_and_then_grows_pod_by_pod():
    assert Scene(Gang(5, minimum=3)).all_steps() == [["0", "1", "2"], ["3"], ["4"]]


def test_a_gang_of_which_some_run_asks_for_the_rest():
    assert Scene(Gang([running("a"), Pod(), Pod(), Pod()], minimum=3)).next() == ["1", "2"]


def test_a_podgroup_without_minimum_grows_from_nothing():
    assert Scene(Gang(2, minimum=0)).all_steps() == [["0"], ["1"]]


def test_a_gang_with_too_few_pods_asks_for_nothing():
    assert Scene(Gang(2, minimum=3)).next() is None


def test_pods_behind_scheduling_gates_do_not_make_a_gang():
    assert Scene(Gang([Pod(), GATED], minimum=2)).next() is None


def test_leaving_pods_are_no_members_any_more():
    assert Scene(Gang([leaving("a"), Pod()], minimum=2)).next() is None


def test_growth_beyond_a_minimum_that_runs_needs_no_further_members():
    assert Scene(Gang([running("a"), Pod(), GATED], minimum=1)).all_steps() == [["1"]]


def test_the_users_order_comes_first_then_age_then_uid():
    pods = [Pod(created=5), Pod(created=5), Pod(created=4), Pod(task_priority=1, created=9)]
    assert Scene(Gang(pods)).next() == ["3", "2", "0", "1"]


def test_a_step_costs_what_its_pods_cost():
    scene = Scene(Gang([Pod(2, cpu=1), Pod(1, memory=1)]))
    assert scene.gang.next_step().cost == (1000, 2**30, 3000)


def test_every_class_of_pods_is_offered_for_growth():
    scene = Scene(Gang([Pod(8), Pod(8), Pod(1)], minimum=0))
    large = scene.gang.next_step().growth
    assert scene.next({large}) == ["2"]
    small = scene.gang.next_step({large}).growth
    assert scene.next({large, small}) is None


def test_placed_pods_are_pending_again_after_a_rollback():
    scene = Scene(Gang(3, minimum=0))
    start = scene.transaction.checkpoint()
    assert scene.all_steps() == [["0"], ["1"], ["2"]]
    scene.transaction.rollback(start)
    assert scene.all_steps() == [["0"], ["1"], ["2"]]


def workers(**subgroups):
    return Scene(Gang(children=subgroups, min_subgroups=-1))


def test_all_subgroups_are_needed_unless_told_otherwise():
    assert workers(b=Sub(2), a=Sub(1)).all_steps() == [["a-0", "b-0", "b-1"]]


def test_every_subgroup_is_brought_to_its_own_minimum():
    assert workers(a=Sub(3, minimum=1), b=Sub(2, minimum=2)).next() == ["a-0", "b-0", "b-1"]


def test_one_subgroup_that_cannot_be_formed_holds_up_all_that_are_needed():
    assert workers(a=Sub(1), b=Sub(1, minimum=2)).next() is None


def test_as_many_subgroups_as_needed_start_first_and_others_follow_whole():
    scene = Scene(Gang(children={name: Sub(2) for name in "abc"}, min_subgroups=2))
    assert scene.all_steps() == [["a-0", "a-1", "b-0", "b-1"], ["c-0", "c-1"]]


def test_a_subgroup_that_cannot_be_formed_does_not_take_the_place_of_one_that_can():
    scene = Scene(Gang(children={"a": Sub(1, minimum=2), "b": Sub(1), "c": Sub(1)}, min_subgroups=2))
    assert scene.all_steps() == [["b-0", "c-0"]]


def test_a_subgroup_that_runs_counts_towards_the_subgroups_needed():
    scene = Scene(Gang(children={"a": Sub(1), "b": Sub(1), "z": Sub([running("a")])}, min_subgroups=2))
    assert scene.next() == ["a-0"]


def test_more_subgroups_than_there_are_can_never_be_formed():
    assert Scene(Gang(children={"a": Sub(1)}, min_subgroups=2)).next() is None


def test_subgroups_of_subgroups_follow_the_same_rules():
    inner = Sub(children={"x": Sub(1), "y": Sub(2)}, min_subgroups=1)
    scene = Scene(Gang(children={"a": inner, "b": Sub(1)}))
    assert scene.all_steps() == [["a-x-0", "b-0"], ["a-y-0", "a-y-1"]]


def test_missing_subgroups_grow_before_present_ones():
    scene = Scene(Gang(children={"a": Sub(3, minimum=1), "b": Sub(1)}, min_subgroups=1))
    assert scene.all_steps() == [["a-0"], ["b-0"], ["a-1"], ["a-2"]]


def test_the_least_grown_subgroup_grows_first():
    scene = workers(a=Sub(6, minimum=2), b=Sub(3, minimum=1))
    assert scene.all_steps() == [["a-0", "a-1", "b-0"], ["a-2"], ["b-1"], ["a-3"], ["a-4"], ["b-2"], ["a-5"]]


def test_subgroups_with_a_minimum_grow_before_optional_ones():
    assert workers(a=Sub(1, minimum=0), b=Sub(2, minimum=1)).all_steps() == [["b-0"], ["b-1"], ["a-0"]]


def test_how_far_an_inner_subgroup_has_grown_is_told_by_its_children():
    grown = Sub(children={"x": Sub([running("a")]), "y": Sub([running("a"), Pod()], minimum=1)}, min_subgroups=1)
    fresh = Sub(children={"x": Sub([running("a")]), "y": Sub(1)}, min_subgroups=1)
    scene = Scene(Gang(children={"a": grown, "b": fresh}))
    assert scene.all_steps() == [["b-y-0"], ["a-y-1"]]


def test_a_whole_subgroup_that_found_no_place_is_not_offered_again():
    scene = Scene(Gang(children={"a": Sub([running("a")]), "b": Sub(2), "c": Sub(1)}, min_subgroups=1))
    step = scene.gang.next_step()
    assert (scene.names(step), step.growth.class_idx) == (["b-0", "b-1"], WHOLE)
    assert scene.next({step.growth}) == ["c-0"]


def test_a_nominated_minimum_is_had_but_not_running():
    scene = Scene(Gang(2))
    scene.place(how="nominate")
    assert scene.gang.satisfied(scene.gang.root)
    assert not scene.gang.satisfied(scene.gang.root, counting_nominated=False)


def test_growth_has_three_stages():
    scene = Scene(Gang(2, minimum=1))
    stages = [growth_stage(scene.gang)]
    for _ in range(2):
        scene.place()
        stages.append(growth_stage(scene.gang))
    assert stages == [BELOW_MINIMUM, AT_MINIMUM, ABOVE_MINIMUM]


def order(**gangs):
    snapshot = cluster(nodes={"a": 64}, gangs=gangs)
    ledger, members = Ledger(snapshot), Members(snapshot)
    requirements = [Requirement(row, root, members, ledger) for row, root in members.trees.items()]
    rank = Order(snapshot.podgroups).rank
    ranked = sorted(requirements, key=lambda gang: rank(gang.podgroup, growth_stage(gang)))
    return [snapshot.podgroups.keys[gang.podgroup].name for gang in ranked]


def test_a_higher_priority_goes_first():
    assert order(a=1, b=Gang(1, priority=75)) == ["b", "a"]


def test_a_gang_that_has_lost_a_member_goes_before_those_that_have_not_begun():
    assert order(fresh=2, broken=Gang([running("a"), Pod()], minimum=2)) == ["broken", "fresh"]
    assert order(better=Gang(2, priority=75), broken=Gang([running("a"), Pod()], minimum=2)) == ["better", "broken"]


def test_who_is_below_the_minimum_goes_before_who_has_it_and_that_before_who_grew():
    assert order(
        grew=Gang([*[running("a")] * 2, Pod()], minimum=1), has=Gang([running("a"), Pod()], minimum=1), below=1
    ) == [
        "below",
        "has",
        "grew",
    ]


def test_the_older_goes_first_and_of_equally_old_ones_the_smaller_uid():
    assert order(c=Gang(1, created=2), b=Gang(1, created=1), a=Gang(1, created=1)) == ["a", "b", "c"]
