import asyncio
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


@pytest.fixture
def ask(kai, cluster, tmp_path):
    """Runs a command against a module's ``cluster``, in a thread: the cluster's loop goes on."""

    async def run(*args, **options):
        return await asyncio.to_thread(kai, *args, "--kubeconfig", tmp_path / "kubeconfig", **options)

    return run
