"""``docs/reference/cli.md``, written from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, Final, get_type_hints

import typer
from typer.main import get_command

PAGE: Final = PurePosixPath("docs/reference/cli.md")

_HEADER: Final = """\
<!-- Generated from kai_py/cli by `kai-py generate`; edits are lost. -->
# Command line

`kai-py COMMAND --help` says the same. `python -m kai_py` is the same program.

* Data go to standard output; warnings, notes and errors go to standard error. An error is a verdict in one line, the
  evidence, and what to do next.
* Exit status: 0 = done; 1 = it could not be done, or what was asked for does not exist; 2 = the command or its input is
  wrong, and nothing was done.
* Tables have lines and colours on a terminal (`NO_COLOR=1` turns the colours off), and are plain columns in a pipe.
  Programs should read `-o json` or `-o yaml`.
* `kai-py --install-completion` sets up completion for your shell.
* After an internal error, `KAI_PY_DEBUG=1` shows the traceback.
"""


def render_cli_reference(program: typer.Typer) -> str:
    """The page, as Markdown: every command with its arguments and options."""
    group = get_command(program)
    context = typer.Context(group, info_name=group.name)
    name = str(group.name)
    return _HEADER + "".join([_section(group, name), *_commands(group, name, context)])


def _commands(group: Any, path: str, context: typer.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        _, command, _ = group.resolve_command(context, [name])
        inner = typer.Context(command, info_name=name, parent=context)
        yield _section(command, f"{path} {name}")
        if hasattr(command, "list_commands"):
            yield from _commands(command, f"{path} {name}", inner)


def _section(command: Any, path: str) -> str:
    signature = _signature(command)
    arguments = [one.metavar for one in command.params if one.param_type_name == "argument"]
    below = ["COMMAND"] if hasattr(command, "list_commands") else []
    usage = " ".join([path, "[OPTIONS]", *arguments, *below])
    parts = [f"## `{path}`", _prose(inspect.cleandoc(command.help or "")), f"```\n{usage}\n```"]
    rows = [_row(one, signature[one.name]) for one in command.params if one.name in signature]
    if rows:
        parts.append("\n".join(["| option | meaning |", "|---|---|", *rows]))
    return "".join(f"\n{part}\n" for part in parts)


def _prose(text: str) -> str:
    """Help as Markdown: paragraphs that are command lines become blocks of code."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(f"    {one}" if one.startswith(("kai-py ", "kubectl ")) else one for one in paragraphs)


def _signature(command: Any) -> dict[str, inspect.Parameter]:
    """Names, types and defaults as the command's function declares them: versions of typer word them differently."""
    if command.callback is None:  # a group that is only its commands
        return {}
    function = inspect.unwrap(command.callback)
    hints = get_type_hints(function)
    declared = inspect.signature(function).parameters.values()
    return {one.name: one.replace(annotation=hints[one.name]) for one in declared}


def _row(parameter: Any, declared: inspect.Parameter) -> str:
    help_text, default = " ".join((parameter.help or "").split()), _default(parameter, declared)
    text = f"{help_text} Default: `{default}`." if default else help_text
    return f"| {_names(parameter, declared)} | {text} |"


def _names(parameter: Any, declared: inspect.Parameter) -> str:
    if parameter.param_type_name == "argument":
        return "`{}`".format(parameter.metavar.replace("|", "\\|"))
    value = "" if declared.annotation is bool else f" {parameter.metavar or _value(declared.annotation)}"
    return ", ".join(f"`{name}{value}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _value(annotation: Any) -> str:
    """What an option takes: the words of an enumeration, or a type."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "\\|".join(str(member.value) for member in annotation)
    return {int: "NUMBER", float: "NUMBER", str: "TEXT"}.get(annotation, "VALUE")


def _default(parameter: Any, declared: inspect.Parameter) -> str:
    default = declared.default
    if default is inspect.Parameter.empty or default is None or default is False:
        return ""
    if default is True:
        return str(parameter.opts[0])
    return str(default.value if isinstance(default, Enum) else default)
