from pathlib import Path

import pytest

from kai_py.api.duration import Duration
from kai_py.core.options import DEFAULT_WEIGHTS, Action, Options
from kai_py.errors import SettingsError
from kai_py.settings.keys import every_key
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings
from kai_py.settings.options import core_options
from kai_py.settings.reference import render_settings_reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def faults(document):
    with pytest.raises(SettingsError) as caught:
        load_settings(document)
    return {fault.field: fault.message for fault in caught.value.faults}


@pytest.mark.parametrize("document", ["", "# nothing\n", "{}", "fairness:\n", {}])
def test_an_empty_document_is_all_defaults(document):
    assert load_settings(document) == Settings()


def test_what_is_given_is_taken_and_the_rest_keeps_its_default():
    settings = load_settings("""
        schedulerNames: [kai-scheduler, kai-test]
        nodePool: {value: a100}
        fairness: {kValue: 2}
        placement: {cpu: spread, weights: {packing: 0}}
        actions: {order: [allocate], queueDepth: {allocate: 10}}
        gangs: {stalenessGracePeriod: -1s}
    """)
    assert settings.scheduler_names == ("kai-scheduler", "kai-test")
    assert (settings.node_pool.label_key, settings.node_pool.value) == ("kai.scheduler/node-pool", "a100")
    assert settings.fairness.k_value == 2
    assert (settings.placement.gpu, settings.placement.cpu) == ("binpack", "spread")
    assert (settings.placement.weights.packing, settings.placement.weights.availability) == (0, 1000)
    assert (settings.actions.order, settings.actions.queue_depth) == (("allocate",), {"allocate": 10})
    assert settings.gangs.staleness_grace_period == Duration.of_seconds(-1)


def test_all_faults_are_reported_together():
    found = faults("""
        fairnes: {}
        fairness: {kValue: -1, kvalue: 1}
        placement: {gpu: bin-pack, cpu: 1}
        gangs: {stalenessGracePeriod: 60}
        schedulerNames: []
    """)
    assert found.keys() == {
        "fairnes",
        "fairness.kValue",
        "fairness.kvalue",
        "placement.gpu",
        "placement.cpu",
        "gangs.stalenessGracePeriod",
        "schedulerNames",
    }


@pytest.mark.parametrize(
    ("document", "field", "hint"),
    [
        ({"fairnes": {}}, "fairnes", "fairness"),
        ({"fairness": {"kvalue": 1}}, "fairness.kvalue", "kValue"),
        ({"kValue": 1}, "kValue", "fairness.kValue"),
        ({"fairness": {"k_value": 1}}, "fairness.k_value", "kValue"),
        ({"actions": {"order": ["allocate", "consolidation"]}}, "actions.order[1]", "consolidate"),
        ({"actions": {"queueDepth": {"reclam": 3}}}, "actions.queueDepth.reclam", "reclaim"),
        ({"placement": {"gpu": "bin-pack"}}, "placement.gpu", "binpack"),
        (
            {"fairness": {"accountedResources": [{"resource": "a/b", "countAs": "gpu"}]}},
            "fairness.accountedResources[0].countAs",
            "countsAs",
        ),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(document, field, hint):
    assert f"did you mean {hint}?" in faults(document)[field]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"actions": {"order": ["allocate", "allocate"]}}, "actions.order"),
        ({"actions": {"order": "allocate"}}, "actions.order"),
        ({"actions": {"queueDepth": {"allocate": 0}}}, "actions.queueDepth.allocate"),
        ({"gangs": {"stalenessGracePeriod": "soon"}}, "gangs.stalenessGracePeriod"),
        ({"actions": {"consolidationPause": "-1s"}}, "actions.consolidationPause"),
        ({"eviction": {"restartTime": "-5m"}}, "eviction.restartTime"),
        ({"fairness": {"kValue": True}}, "fairness.kValue"),
        ({"fairness": {"kValue": float("nan")}}, "fairness.kValue"),
        (
            {"fairness": {"accountedResources": [{"resource": "a/b"}, {"resource": "a/b"}]}},
            "fairness.accountedResources",
        ),
        ({"schedulerNames": ["a", None]}, "schedulerNames[1]"),
        ({"nodePool": {"labelKey": "no label"}}, "nodePool.labelKey"),
        ({"fairness": []}, "fairness"),
    ],
)
def test_a_wrong_value_is_refused_under_its_path(document, field):
    assert faults(document).keys() == {field}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("fairness:\n  kValue: 1\n  kValue: 2\n", "settings, line 3"),
        ("a: [1\nb: 2\n", "settings, line 2"),
        ("--- {}\n--- {}\n", "settings, line 2"),
        ("a: \x00", "settings"),
        ("d: 2026-13-45\n", "settings"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_line(text, where):
    with pytest.raises(SettingsError) as caught:
        load_settings(text)
    assert caught.value.faults[0].where == where


@pytest.mark.parametrize("text", ["just text", "- a list", "7"])
def test_a_document_that_is_no_map_is_refused(text):
    assert "object" in faults(text)[""]


def test_the_core_knows_the_same_actions_and_weights():
    defaults = Settings()
    assert defaults.actions.order == tuple(Action)
    assert defaults.placement.weights.model_dump(by_alias=True) == dict(DEFAULT_WEIGHTS)


@pytest.mark.parametrize(
    ("document", "option", "value"),
    [
        ("actions: {consolidationPause: 10m}", "consolidation_pause", 600.0),
        ("eviction: {restartTime: 90s}", "restart_seconds", 90.0),
        ("actions: {consolidationPause: 0s}", "consolidation_pause", 0.0),
        ("eviction: {restartTime: 500ms}", "restart_seconds", 0.5),
    ],
)
def test_a_duration_reaches_the_core_in_seconds(document, option, value):
    assert getattr(core_options(load_settings(document)), option) == value


def test_the_core_has_the_same_defaults():
    assert core_options(Settings()) == Options()


def test_every_key_is_explained():
    for key in every_key():
        assert len(key.field.description or "") > 20, key.path


def test_the_page_is_what_the_models_say():
    assert PAGE.read_text() == render_settings_reference()


def test_the_page_shows_a_document_that_is_the_default():
    (_, document, _) = render_settings_reference().split("```", 2)
    assert load_settings(document.removeprefix("yaml")) == Settings()


@pytest.mark.parametrize(
    ("window", "fault"),
    [
        ("{type: cron}", "a window of type cron needs `cron`"),
        ("{type: cron, cron: at noon}", "not a cron expression"),
        ("{type: cron, cron: 0 0 30 2 *}", "cron expression"),
        ("{size: 0s}", "size must be more than zero"),
        ("{start: noon}", "datetime"),
    ],
)
def test_a_window_of_usage_that_cannot_be_is_refused(window, fault):
    with pytest.raises(SettingsError) as refused:
        load_settings(f"fairness: {{usage: {{window: {window}}}}}")
    assert fault in str(refused.value)


@pytest.mark.parametrize("start", ["2026-01-05T00:00:00Z", '"2026-01-05T00:00:00+00:00"'])
def test_the_start_of_a_window_is_a_moment(start):
    window = load_settings(f"fairness: {{usage: {{window: {{type: tumbling, start: {start}}}}}}}").fairness.usage.window
    assert window.start is not None
    assert window.start.timestamp() == 1_767_571_200


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"gpuSharing": "claims"}, "needs gpuShareClaims.deviceClassName"),
        ({"gpuSharingChoices": ["claims"]}, "needs gpuShareClaims.deviceClassName"),
        (
            {"gpuSharing": "claims", "gpuShareClaims": {"deviceClassName": "shared"}},
            "needs 'shared' among dra.gpuClasses",
        ),
        ({"gpuSharing": "trusted", "gpuSharingChoices": ["reservation"]}, "both reservation and trusted"),
        ({"gpuSharingChoices": ["none"]}, "gpuSharingChoices"),
        (
            {"gpuShareClaims": {"memory": "of memory"}},
            "gpuShareClaims.memory: 'of memory' is not the name of a capacity",
        ),
        ({"gpuShareClaims": {"inProportion": ["memory"]}}, "inProportion names 'memory', which is the memory already"),
    ],
)
def test_a_way_to_share_gpus_that_cannot_be_gone_is_refused(document, fault):
    with pytest.raises(SettingsError, match=fault):
        load_settings(document)
