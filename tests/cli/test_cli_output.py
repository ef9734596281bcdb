"""What users wrote does not steer the terminal of whoever looks."""

import pytest

from kai_py.cli.failures import Failure, note
from kai_py.cli.output import Table, print_tables

EVIL = "x\x1b[2J\r\ny\u202e"
SHOWN = r"x\x1b[2J\r\ny\u202e"


@pytest.mark.parametrize("terminal", [True, False])
def test_cells_of_tables_are_printable(capsys, monkeypatch, terminal):
    monkeypatch.setenv("COLUMNS", "120")
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    print_tables([Table("Things", ("name", "words"), [("a", EVIL)])])
    shown = capsys.readouterr().out
    assert SHOWN in shown
    assert "\x1b[2J" not in shown
    assert ("\x1b[" in shown) == terminal  # our own escapes


def test_errors_and_notes_are_printable(capsys):
    Failure(f"verdict {EVIL}", [f"evidence {EVIL}", "two\nlines"]).report()
    note(EVIL)
    shown = capsys.readouterr().err
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown
    assert f"verdict {SHOWN}" in shown
    assert "  two\n  lines\n" in shown
