"""ConfigMaps that are followed by name."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from kai_py.api.configmap import ConfigMap
from kai_py.api.meta import ObjectMeta
from kai_py.errors import Fault, ForbiddenError, NotFoundError, SettingsError, UnavailableError
from kai_py.operators.documents import ConfigMapWatch, Followed, settings_event
from kai_py.operators.kinds import CONFIG_MAPS
from kai_py.operators.run import _settings_in, _usable
from kai_py.settings.model import Settings
from kai_py.settings.workloads import ConfigMapName
from kai_py.telemetry.events import Regarding


def configmap(version, **data):
    return ConfigMap(ObjectMeta("settings", "here", resource_version=version), data)


class Server:
    """Answers with one after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def get(self, path, **_):
        self.asked.append(path)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def told():
    return []


@pytest.fixture
def watch(told):
    return ConfigMapWatch(None, "here", "settings", told.append)


def test_each_version_is_told_once(watch, told):
    one, two = configmap("1", a="b"), configmap("2", a="c")
    watch.replace(CONFIG_MAPS, [one], set())
    watch.replace(CONFIG_MAPS, [one], set())
    watch.apply(CONFIG_MAPS, [("MODIFIED", two), ("MODIFIED", two)])
    assert told == [one, two]


def test_a_configmap_that_is_not_there_is_told_as_none(watch, told):
    watch.replace(CONFIG_MAPS, [], set())
    watch.apply(CONFIG_MAPS, [("ADDED", configmap("1")), ("DELETED", configmap("2"))])
    assert told == [None, configmap("1"), None]


def test_one_that_cannot_be_read_is_not_gone(watch, told):
    watch.replace(CONFIG_MAPS, [configmap("1")], set())
    watch.replace(CONFIG_MAPS, [], {("here", "settings")})
    assert told == [configmap("1")]


async def test_settings_to_begin_with_wait_for_an_answer(monkeypatch):

    monkeypatch.setattr("kai_py.operators.run.RETRY", 0.0)
    body = b'{"metadata": {"name": "settings"}, "data": {"settings.yaml": "schedulerNames: [mine]"}}'
    server = Server(UnavailableError("no answer"), body)
    settings = await _settings_in(server, ("here", "settings"), asyncio.Event())
    assert settings.scheduler_names == ("mine",)
    assert server.asked == ["/api/v1/namespaces/here/configmaps/settings"] * 2


async def test_without_settings_it_begins_with_defaults():
    for refusal in (NotFoundError("no"), ForbiddenError("no", status=403)):
        assert await _settings_in(Server(refusal), ("here", "settings"), asyncio.Event()) == Settings()


def document(text):
    return msgspec.json.encode({"metadata": {"name": "settings"}, "data": {"settings.yaml": text}})


FAULTY = "schedulerNames: [mine]\nplacment: {}"


async def test_where_settings_are_refused_it_begins_with_the_last_good_ones(monkeypatch):
    monkeypatch.setattr("kai_py.operators.run.RETRY", 0.0)
    last = document("schedulerNames: [mine]\nplacement: {gpu: spread}")
    server = Server(document(FAULTY), UnavailableError("no answer"), document(FAULTY), last)
    settings = await _settings_in(server, ("here", "settings"), asyncio.Event())
    assert settings.placement.gpu == "spread"
    assert server.asked[-1] == "/api/v1/namespaces/here/configmaps/kai-py-last-settings"


@pytest.mark.parametrize("last", [NotFoundError("no"), document(FAULTY), b'{"metadata": {"name": "s"}}'])
async def test_where_nobody_knows_the_last_good_ones_it_begins_with_defaults(last):
    settings = await _settings_in(Server(document(FAULTY), last), ("here", "settings"), asyncio.Event())
    assert settings == Settings(schedulerNames=("mine",))


def test_faulty_settings_still_say_whose_pods_are_ours():
    document = "schedulerNames: [mine]\nnodePool: {value: left}\nplacment: {}\nfairness: {kValue: 3}"
    settings = _usable(document, "here")
    assert settings.scheduler_names == ("mine",)
    assert settings.node_pool.value == "left"
    assert settings.fairness == Settings().fairness


@pytest.mark.parametrize("document", ["schedulerNames: [", "- a", "schedulerNames: []\na: 1", "nodePool: {valu: a}"])
def test_under_an_unknown_name_it_does_not_begin(document):
    with pytest.raises(SettingsError):
        _usable(document, "here")


def test_the_configmap_that_settings_name_is_followed_and_no_other(told):
    running = []

    class Task:
        def cancel(self):
            running.remove(self)

    def spawn(coroutine, _):
        coroutine.close()
        running.append(Task())
        return running[-1]

    followed = Followed(None, spawn, told.append)
    followed.follow(None)
    assert running == []
    followed.follow(ConfigMapName(namespace="here", name="a"))
    (first,) = running
    followed.follow(ConfigMapName(namespace="here", name="a"))
    assert running == [first]
    followed.follow(ConfigMapName(namespace="here", name="b"))
    assert len(running) == 1
    assert running != [first]
    followed.follow(None)
    assert running == []


def test_all_faults_are_told_at_once():
    about = Regarding("v1", "ConfigMap", "here", "settings", "")
    event = settings_event(about, [Fault("", "a", "is wrong"), Fault("", "b", "is missing")])
    assert event.reason == "InvalidSettings"
    assert "a: is wrong; b: is missing" in event.note
    assert settings_event(about, []).reason == "SettingsAccepted"
