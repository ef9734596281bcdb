"""The command line: ``kai-py`` and ``kubectl kai``.

One module per command, each with an ``app``: a ``typer.Typer(add_completion=False)``, because completion belongs to the
program. ``app.COMMANDS`` names the modules; one is imported when its command runs. Data go to standard output, notes to
standard error. Commands ask other packages and show their answers; they decide nothing.
"""

from __future__ import annotations

import os

# Before typer is imported. In a box of 80 columns, names of options are cut off, and cannot be copied.
os.environ.setdefault("TYPER_USE_RICH", "0")

from kai_py.cli.app import main

__all__ = ["main"]
