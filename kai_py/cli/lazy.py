"""A group whose commands are imported when they run: ``kai-py --help`` must not load the scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from kai_py.cli.failures import Failure, failure_of
from kai_py.errors import KaiError


class Stub(TyperCommand):
    """Stands for a command in lists of commands: knows its name and its one line of help.

    Args:
        name: of the command.
        module: has the command as ``app``.
        summary: its help in one line.
    """

    def __init__(self, name: str, module: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self._module = module

    def get_short_help_str(self, limit: int = 45) -> str:  # noqa: ARG002  # the base class' signature
        """All of the line: who looks for a command wants to read to the end what it is for."""
        return self.help or ""

    def load(self) -> TyperCommand | TyperGroup:
        """The command itself."""
        command = typer.main.get_command(import_module(self._module).app)
        command.name = self.name
        assert isinstance(command, TyperCommand | TyperGroup)  # what typer makes
        return command


class LazyGroup(TyperGroup):
    """A group of stubs. Subclasses say which.

    Attributes:
        table: name of a command -> (module, its help in one line), in the order in which they are shown.
    """

    table: Mapping[str, tuple[str, str]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (module, summary) in self.table.items():
            self.add_command(Stub(name, module, summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that is about to run, or to be completed, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Stub) else command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what it cannot do is told in a few lines."""
        try:
            return super().invoke(ctx)
        except (KaiError, Failure) as error:
            failure = failure_of(error)
            failure.report()
            raise typer.Exit(failure.status) from error
