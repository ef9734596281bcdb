import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest
import typer.main

from kai_py.cli import app as program
from kai_py.cli.app import COMMANDS, app
from kai_py.errors import Fault, InputError, UnavailableError

HEAVY = ("aiohttp", "kopf", "kubernetes_asyncio", "numpy", "pydantic", "scipy", "structlog", "uvloop")


def python(*args, stdin="", **environment):
    return subprocess.run(
        [sys.executable, *args],
        input=stdin,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_every_command_and_what_it_is_for(kai):
    text = re.sub(r"[\s│]+", " ", kai("--help").stdout)
    for name, (_, summary) in COMMANDS.items():
        assert f" {name} " in text
        assert summary in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_of_itself_what_the_table_says(name):
    module, summary = COMMANDS[name]
    command = typer.main.get_command(import_module(module).app)
    assert command.help.split("\n\n")[0] == summary
    assert not {"install_completion", "show_completion"} & {parameter.name for parameter in command.params}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_every_option(kai, name):
    assert kai(name, "--help").exit_code == 0
    command = typer.main.get_command(import_module(COMMANDS[name][0]).app)
    assert [one.name for one in command.params if not getattr(one, "help", None)] == []


def test_help_loads_no_scheduler():
    script = (
        "import sys; sys.argv = ['kai-py', '--help']\n"
        "from kai_py.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    assert python("-c", script).stderr.strip() == "[]"


def test_the_module_is_the_program():
    answer = python("-m", "kai_py", "version")
    assert answer.returncode == 0
    assert answer.stdout.startswith(f"kai-py {version('kai-py')} ")


def test_a_plan_works_from_a_pipe_to_a_pipe():
    answer = python("-m", "kai_py", "plan", "-f", "-", "-o", "json", stdin="kind: Pod\n")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "standard input" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_shell_completes_commands_and_options():
    words = {"COMP_WORDS": "kai-py pl", "COMP_CWORD": "1", "_KAI_PY_COMPLETE": "complete_bash"}
    assert python("-c", "from kai_py.cli import main; main()", **words).stdout.split() == ["plan"]
    words |= {"COMP_WORDS": "kai-py plan --from", "COMP_CWORD": "2"}
    assert "--from-cluster" in python("-c", "from kai_py.cli import main; main()", **words).stdout


def test_version_is_a_command_and_an_option(kai):
    assert kai("--version").stdout == f"kai-py {version('kai-py')}\n"
    assert kai("version").stdout.startswith(f"kai-py {version('kai-py')} ")


def test_a_typing_error_gets_a_suggestion_and_status_2(kai):
    answer = kai("fairshar")
    assert answer.exit_code == 2
    assert "Did you mean 'fairshare'?" in answer.stderr


def end_with(monkeypatch, error):
    def fail(**_):
        raise error

    monkeypatch.setattr(program, "app", fail)


def test_an_internal_error_is_told_without_a_traceback(monkeypatch, capsys):
    monkeypatch.delenv("KAI_PY_DEBUG", raising=False)
    end_with(monkeypatch, ZeroDivisionError("by zero"))
    with pytest.raises(SystemExit) as caught:
        program.main()
    told = capsys.readouterr().err.splitlines()
    assert caught.value.code == 1
    assert told[0] == "error: an internal error: ZeroDivisionError: by zero"
    assert "fail" in told[1]
    assert told[-1].startswith("next: ")


def test_an_internal_error_can_be_looked_into(monkeypatch):
    monkeypatch.setenv("KAI_PY_DEBUG", "1")
    end_with(monkeypatch, ZeroDivisionError("by zero"))
    with pytest.raises(ZeroDivisionError):
        program.main()


@pytest.mark.parametrize(
    ("error", "status", "verdict"),
    [
        (InputError([Fault("f.yaml", "a.b", "is wrong")]), 2, "error: f.yaml: a.b: is wrong"),
        (InputError([Fault("x", "", "a"), Fault("y", "", "b")]), 2, "error: there are 2 faults"),
        (UnavailableError("GET /api: no answer"), 1, "error: the API server does not answer"),
    ],
)
def test_an_error_is_a_verdict_evidence_and_a_next_step(kai, monkeypatch, error, status, verdict):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(import_module("kai_py.cli.plan"), "plan", fail)
    answer = kai("plan", "-f", "-", stdin="")
    told = answer.stderr.splitlines()
    assert (answer.exit_code, answer.stdout, told[0]) == (status, "", verdict)
    assert told[-1].startswith("next: ")


def test_the_program_is_a_typer_program():
    assert isinstance(app, typer.Typer)


def test_names_of_options_are_whole_in_a_narrow_terminal():
    """In a process of its own, since it depends on what is imported first."""
    done = python("-m", "kai_py", "run", "--help", COLUMNS="80")
    assert max(map(len, done.stdout.splitlines())) <= 80
    for name in ("--settings-configmap", "--decisions-address", "--no-leader-elect"):
        assert name in done.stdout
