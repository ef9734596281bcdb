from pathlib import Path

import typer
from typer.main import get_command

from kai_py.cli.app import COMMANDS, app

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()


def options(command):
    return [name for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("-")]


def walk(group, path):
    context = typer.Context(group)
    for name in group.list_commands(context):
        _, command, _ = group.resolve_command(context, [name])
        yield f"{path} {name}", command
        if hasattr(command, "list_commands"):
            yield from walk(command, f"{path} {name}")


def test_the_page_has_every_command_and_every_option():
    commands = dict(walk(get_command(app), "kai-py"))
    assert {f"kai-py {name}" for name in COMMANDS} <= commands.keys()
    for path, command in commands.items():
        section = PAGE.split(f"## `{path}`\n")[1].split("\n## ")[0]
        missing = [name for name in options(command) if name not in ("--help", "-h") and f"`{name}" not in section]
        assert missing == [], path
