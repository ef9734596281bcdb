import logging

import pytest
import structlog
from typer.testing import CliRunner

from kai_py.cli.app import app


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    """Commands set logging up for a process of their own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def kai():
    """Runs a command line in this process."""

    def run(*args, stdin=None):
        return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)

    return run
