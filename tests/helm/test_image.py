"""The Dockerfile keeps its promises, and agrees with the chart that runs its image."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

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


# -- what gets in ----------------------------------------------------------------------------------

_PIN = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)(?: ;[^\\]*)? \\\n(?P<hashes>(?:    --hash=.*\n)+)", re.MULTILINE
)


def pins():
    return list(_PIN.finditer((ROOT / "image-requirements.txt").read_text()))


def test_every_package_has_one_version_and_its_hashes():
    names = [pin["name"] for pin in pins()]
    lines = (ROOT / "image-requirements.txt").read_text().splitlines()
    assert len(names) == len(set(names)) == sum(not line.startswith(("#", " ")) for line in lines)
    for pin in pins():
        assert re.fullmatch(r"(    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", pin["hashes"])


def test_what_is_pinned_is_what_the_project_asks_for():
    pinned = {pin["name"]: pin["version"] for pin in pins()}
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for text in (*PROJECT["dependencies"], *build):
        wanted = Requirement(text)
        assert wanted.specifier.contains(pinned[wanted.name]), f"{text}: run make lock"


def test_nothing_is_installed_that_is_not_pinned():
    installs = [
        step for word, rest in instructions() if word == "RUN" for step in rest.split("&&") if "pip install" in step
    ]
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "--only-binary :all:" in installs[0]  # no code of a package runs while it is installed
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(installs[1].split())


def test_a_linter_finds_nothing():
    program = Path(sys.executable).with_name("hadolint")
    found = str(program) if program.exists() else shutil.which("hadolint")
    if found is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([found, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.skipif(
    "KAI_PY_IMAGE_STEPS" not in os.environ, reason="KAI_PY_IMAGE_STEPS is not set: it installs packages"
)
def test_every_step_of_the_build_works_in_a_clean_directory(tmp_path):
    """The steps of the Dockerfile without an engine: elsewhere, and with the Python of the tests."""
    source, target = tmp_path / "src", tmp_path / "opt"
    source.mkdir()

    def here(text):
        return text.replace("/opt/kai-py", str(target)).replace("python -m venv", f"{sys.executable} -m venv")

    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    environment |= {
        name: value for name, value in os.environ.items() if name.lower().startswith(("pip_", "http", "ssl_"))
    }
    for word, rest in stages()[0][0]:
        if word == "COPY":
            *names, into = rest.split()
            for name in names:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, source / into, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
                else:
                    shutil.copy(ROOT / name, source)
        elif word == "RUN":
            subprocess.run(["sh", "-ec", here(rest)], cwd=source, env=environment, check=True)
    shutil.rmtree(source)
    answer = subprocess.run([target / "bin" / "kai-py", "version"], capture_output=True, text=True, check=True, cwd="/")
    assert answer.stdout.startswith(f"kai-py {PROJECT['version']} ")
    assert not (target / "bin" / "pip").exists()
