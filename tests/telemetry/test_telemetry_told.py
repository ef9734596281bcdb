from dataclasses import replace

from kai_py.core.result import Diagnosis, Reason, ReasonCode
from kai_py.telemetry.told import News, Told


def waits(held=1, queue="research", pods=("a/train-0",), position=1, podgroup="a/train"):
    details = {"queue": queue, "resource": "gpu", "requested": 1, "held": held, "ceiling": 1.0}
    return Diagnosis(podgroup, "research", (Reason(ReasonCode.OVER_LIMIT, details),), pods, position)


def kinds(items):
    return [item.news for item in items]


def test_a_reason_is_told_once():
    told = Told()
    [item] = told.news([waits()], now=0.0)
    assert (item.news, item.podgroup, item.pods) == (News.REASON, "a/train", ("a/train-0",))
    assert told.news([waits()], now=1.0) == []


def test_other_numbers_are_told_when_the_told_ones_are_old():
    told = Told(refresh=300.0)
    told.news([waits(held=1)], now=0.0)
    assert told.news([waits(held=2)], now=299.0) == []
    assert kinds(told.news([waits(held=3)], now=300.0)) == [News.NUMBERS]
    assert told.news([waits(held=4)], now=301.0) == []
    assert told.news([waits(held=3)], now=900.0) == []


def test_moving_up_in_line_is_a_matter_of_numbers():
    told = Told(refresh=10.0)
    told.news([waits(position=2)], now=0.0)
    assert told.news([waits(position=1)], now=9.0) == []
    assert kinds(told.news([waits(position=1)], now=10.0)) == [News.NUMBERS]


def test_another_code_or_name_is_a_new_reason():
    told = Told()
    told.news([waits()], now=0.0)
    assert kinds(told.news([waits(queue="org")], now=1.0)) == [News.REASON]
    other = replace(waits(), reasons=(Reason(ReasonCode.UNSCHEDULABLE),))
    assert kinds(told.news([other], now=2.0)) == [News.REASON]


def test_a_pod_that_joins_is_told_alone():
    told = Told()
    told.news([waits(pods=("a/0", "a/1"))], now=0.0)
    [item] = told.news([waits(held=5, pods=("a/0", "a/1", "a/2"))], now=1.0)
    assert (item.news, item.pods) == (News.PODS, ("a/2",))
    assert told.news([waits(pods=("a/0",))], now=2.0) == []


def test_numbers_that_came_with_a_new_pod_are_still_refreshed():
    told = Told(refresh=10.0)
    told.news([waits(held=1, pods=("a/0",))], now=0.0)
    told.news([waits(held=2, pods=("a/0", "a/1"))], now=1.0)
    assert kinds(told.news([waits(held=2, pods=("a/0", "a/1"))], now=10.0)) == [News.NUMBERS]


def test_a_podgroup_that_waits_no_more_is_told_to_be_settled_and_forgotten():
    told = Told()
    told.news([waits()], now=0.0)
    [item] = told.news([], now=1.0)
    assert (item.news, item.podgroup, item.diagnosis) == (News.SETTLED, "a/train", None)
    assert len(told) == 0
    assert kinds(told.news([waits()], now=2.0)) == [News.REASON]


def test_what_could_not_be_told_is_told_again():
    told = Told()
    told.news([waits(), waits(podgroup="b/x")], now=0.0)
    told.retract("a/train")
    assert [item.podgroup for item in told.news([waits(), waits(podgroup="b/x")], now=1.0)] == ["a/train"]


def test_a_new_leader_tells_everything_again():
    told = Told()
    told.news([waits()], now=0.0)
    told.clear()
    assert kinds(told.news([waits()], now=1.0)) == [News.REASON]
