"""The Dockerfile keeps its promises, and agrees with the chart that runs its image."""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib

import yaml

from kai_py.operators.run import RunConfig

from .charts import CHART, ROOT

TEXT = (ROOT / "Dockerfile").read_text()
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions():
    """Instruction and arguments, comments gone and lines joined, in order."""
    lines = [line for line in TEXT.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def stages():
    found, arguments = [], []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        (found[-1] if found else arguments).append((word, rest))
    return found, arguments


def last(word):
    """The argument of the last such instruction of the stage that runs."""
    return [rest for one, rest in stages()[0][-1] if one == word][-1]


def test_the_stage_that_runs_has_nothing_but_what_was_built():
    found, _ = stages()
    assert len(found) == 2
    assert all(word != "RUN" for word, _ in found[-1])
    copies = [rest for word, rest in found[-1] if word == "COPY"]
    assert len(copies) == 1
    assert copies[0].startswith("--from=build --chown=0:0")


def test_bases_are_pinned_by_version():
    found, arguments = stages()
    pins = dict(rest.split("=") for word, rest in arguments if word == "ARG")
    assert re.fullmatch(r"3\.\d+\.\d+", pins["PYTHON_VERSION"])
    assert pins["DEBIAN"] != "latest"
    for stage in found:
        image = stage[0][1].split()[0]
        assert image == "docker.io/library/python:${PYTHON_VERSION}-slim-${DEBIAN}"
    major, minor, _ = map(int, pins["PYTHON_VERSION"].split("."))
    assert (major, minor) >= tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))


def test_it_does_not_run_as_root_and_runs_as_the_charts_user():
    user, group = map(int, last("USER").split(":"))
    assert user > 0
    security = VALUES["podSecurityContext"]
    assert (user, group) == (security["runAsUser"], security["runAsGroup"])


def test_the_entry_point_is_the_program():
    assert json.loads(last("ENTRYPOINT")) == ["kai-py"]
    assert "kai-py" in PROJECT["scripts"]
    assert json.loads(last("CMD")) == ["run"]


def test_the_health_check_asks_where_the_program_answers():
    port = RunConfig().probes_port
    check = last("HEALTHCHECK")
    assert "urllib.request" in check
    assert f"http://127.0.0.1:{port}/healthz" in TEXT
    assert last("EXPOSE").split() == [str(RunConfig().metrics_port), str(port)]
    assert (VALUES["metrics"]["port"], VALUES["probes"]["port"]) == (RunConfig().metrics_port, port)
    compile(json.loads(check.partition("CMD ")[2])[2], "health check", "exec")


def test_nothing_is_fetched_but_packages_and_nothing_secret_is_asked_for():
    for word, rest in instructions():
        assert word != "ADD"
        assert not re.search(r"curl|wget|\bgit\b|http(?!://127)", rest), rest
        assert not (word == "ARG" and re.search("TOKEN|PASSWORD|KEY", rest))


def test_everything_that_is_copied_is_let_through_and_exists():
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    copied = [
        name
        for word, rest in stages()[0][0]
        if word == "COPY"
        for name in rest.split()[:-1]
        if not name.startswith("--")
    ]
    assert copied
    for name in copied:
        clean = name.removeprefix("./")
        assert (ROOT / clean).exists()
        assert any(fnmatch.fnmatch(clean, pattern) for pattern in allowed)
    assert set(allowed) == {name.removeprefix("./") for name in copied}


def test_the_charts_version_is_the_programs():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == PROJECT["version"]
