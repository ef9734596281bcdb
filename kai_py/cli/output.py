"""How answers are shown: JSON and YAML for programs, tables for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from kai_py.telemetry.printable import printable

_GAP: Final = "   "
#: What an empty cell shows, so that columns can be told apart by programs.
_NOTHING: Final = "-"
# The emitter in C writes ten times as fast; it comes with every common build of PyYAML.
_Emitter: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Output(StrEnum):
    """Forms of an answer."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class WideOutput(StrEnum):
    """The same for commands whose table has columns that are not always wanted."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True)
class Table:
    """Rows for people.

    Attributes:
        title: shown on a terminal.
        columns: names.
        rows: texts; an empty one shows as a dash.
        styles: texts that stand out, and how.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    styles: Mapping[str, str] = field(default_factory=dict)


class _Dumper(_Emitter):  # type: ignore[misc,valid-type]  # which of the two is only known when it runs
    """YAML without anchors: people read it."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # the base class' signature
        return True


def print_document(document: Mapping[str, Any], output: str) -> None:
    """Print an answer for programs: ``json`` or ``yaml``."""
    if output == Output.JSON:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120), end="")


def print_tables(tables: Iterable[Table], *, headers: bool = True, verdict: str = "") -> None:
    """Print an answer for people: with lines and colours on a terminal, as plain columns into a pipe.

    Args:
        tables: those without rows are left out.
        headers: whether columns are named; without, only rows are printed.
        verdict: one line to begin with.
    """
    console = Console(highlight=False)  # honours NO_COLOR
    filled = [table for table in tables if table.rows]
    if verdict and headers:
        print(verdict)
    for number, table in enumerate(filled):
        if console.is_terminal:
            console.print(_for_terminal(table, headers))
            continue
        if number or (verdict and headers):
            print()
        print_plain(table.rows, table.columns if headers else ())


def print_plain(rows: Sequence[Sequence[str]], columns: Sequence[str] = ()) -> None:
    """Print columns of text, as wide as they need to be."""
    lines = [[column.upper().replace(" ", "-") for column in columns]] if columns else []
    lines += [[printable(cell) or _NOTHING for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print(_GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _for_terminal(table: Table, headers: bool) -> RichTable:
    rich = RichTable(
        title=table.title if headers else None,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=SIMPLE_HEAD,
        show_header=headers,
        pad_edge=False,
    )
    for column in table.columns:
        rich.add_column(column, overflow="fold")  # a name that is cut off cannot be copied
    for row in table.rows:
        rich.add_row(*(Text(printable(cell) or _NOTHING, style=table.styles.get(cell, "")) for cell in row))
    return rich
