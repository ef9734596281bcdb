import pytest

from kai_py.cli import run as command
from kai_py.errors import Fault, InputError
from kai_py.operators.run import RunConfig


@pytest.fixture
def started(monkeypatch):
    """Configurations that the scheduler was started with."""
    configs = []

    async def run_scheduler(config):
        configs.append(config)

    monkeypatch.setattr(command, "run_scheduler", run_scheduler)
    return configs


def test_without_options_everything_is_at_its_default(kai, started):
    assert kai("run").exit_code == 0
    assert started == [RunConfig()]


def test_every_option_reaches_the_scheduler(kai, started, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.touch()
    answer = kai(
        *("run", "--kubeconfig", "k", "--context", "c", "--scheduler-name", "s", "--settings", settings),
        *("--settings-configmap", "a/b", "--node-pool", "p", "--no-leader-elect", "--lease", "d/e"),
        *("--pod", "f/g"),
        *("--metrics-port", 9090, "--probes-port", 0, "--log-format", "json", "--log-level", "debug"),
    )
    assert answer.exit_code == 0
    assert started == [
        RunConfig(
            *("k", "c", "s", settings, ("a", "b"), "p", False, ("d", "e")),
            metrics_port=9090,
            probes_port=None,
            pod=("f", "g"),
        )
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--lease", "name"),
        ("--settings-configmap", "a/b/c"),
        ("--settings", "missing.yaml"),
        ("--metrics-port", "-1"),
        ("--log-level", "loud"),
    ],
)
def test_a_wrong_option_has_status_2_and_starts_nothing(kai, started, wrong):
    answer = kai("run", *wrong)
    assert (answer.exit_code, started) == (2, [])
    assert wrong[0] in answer.stderr or wrong[1] in answer.stderr


def failing_with(monkeypatch, error):
    async def run_scheduler(_):
        raise error

    monkeypatch.setattr(command, "run_scheduler", run_scheduler)


def test_a_configuration_that_cannot_be_used_has_status_2(kai, monkeypatch):
    failing_with(monkeypatch, InputError([Fault("settings.yaml", "kValue", "is not a setting")]))
    answer = kai("run")
    assert answer.exit_code == 2
    assert answer.stderr.splitlines()[0] == "error: settings.yaml: kValue: is not a setting"


def test_a_port_in_use_is_told_with_the_options_that_change_it(kai, monkeypatch):
    failing_with(monkeypatch, OSError(98, "Address already in use"))
    answer = kai("run", "--metrics-port", 9091)
    assert answer.exit_code == 1
    assert "9091" in answer.stderr
    assert "--metrics-port" in answer.stderr.splitlines()[-1]
