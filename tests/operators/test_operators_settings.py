"""Which settings are in force, as metrics name them."""

import pytest

from kai_py.operators.settings import LiveSettings
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings
from kai_py.telemetry.metrics import Metrics


@pytest.fixture
def metrics():
    return Metrics()


def digest(metrics):
    family = next(one for one in metrics.registry.collect() if one.name == "kai_py_settings_info")
    (sample,) = family.samples
    return sample.labels["digest"]


def test_equal_settings_have_the_same_digest_however_they_are_written(metrics):
    LiveSettings(Settings(), metrics)
    other = Metrics()
    LiveSettings(load_settings("actions: {}"), other)
    assert digest(metrics) == digest(other)
    assert len(digest(metrics)) == 12


def test_the_digest_is_that_of_the_settings_in_force(metrics):
    live = LiveSettings(Settings(), metrics)
    first = digest(metrics)
    live.load("actions: {order: [nothing]}", "here", accept=lambda _: None)
    assert digest(metrics) == first
    assert metrics.registry.get_sample_value("kai_py_settings_faults") > 0
    live.load("actions: {order: [allocate]}", "here", accept=lambda _: None)
    assert digest(metrics) != first
    live.load("", "here", accept=lambda _: None)
    assert digest(metrics) == first
