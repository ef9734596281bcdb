"""``kai-py generate``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

import kai_py
from kai_py.api.crd_reference import render_crd_reference
from kai_py.api.crds import render
from kai_py.cli.app import app as program
from kai_py.cli.chart import CHART, chart_files
from kai_py.cli.failures import MISUSED, Failure
from kai_py.cli.reference import PAGE as CLI_PAGE
from kai_py.cli.reference import render_cli_reference
from kai_py.settings.reference import render_settings_reference
from kai_py.telemetry.metrics_page import PAGE as METRICS_PAGE
from kai_py.telemetry.metrics_page import metrics_page
from kai_py.telemetry.reference import PAGE as REASONS_PAGE
from kai_py.telemetry.reference import reasons_page

app = typer.Typer(add_completion=False)

_CRDS = PurePosixPath("crds")
#: Folders in which every definition is generated.
_FOLDERS = (_CRDS, CHART / "crds")


@app.command("generate")
def generate(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a file is not up to date, and name it.")
    ] = False,
) -> None:
    """Write the generated files of a source checkout: CRDs, reference pages, and parts of the Helm chart."""
    root = source_root()
    files = generated_files()
    stale = stale_files(root, files)
    if check:
        if stale:
            raise Failure(f"{len(stale)} generated files are not up to date", stale, "Write them: kai-py generate")
        print(f"{len(files)} generated files are up to date")
        return
    for name in stale:
        write(root, name, files)
        print(name)


def source_root() -> Path:
    """The checkout that this program runs from.

    Raises:
        Failure: it is installed without its sources.
    """
    root = Path(kai_py.__file__).parents[1]
    if not (root / "pyproject.toml").is_file():
        step = "Run it from a clone: .venv/bin/kai-py generate"
        raise Failure("this is an installed kai-py, not a source checkout", [str(root)], step, status=MISUSED)
    return root


def generated_files() -> dict[str, str]:
    """Path below the root of the checkout, to text."""
    return {
        **{str(_CRDS / name): text for name, text in render().items()},
        "docs/reference/crds.md": render_crd_reference(),
        "docs/reference/settings.md": render_settings_reference(),
        str(REASONS_PAGE): reasons_page(),
        str(METRICS_PAGE): metrics_page(),
        str(CLI_PAGE): render_cli_reference(program),
        **chart_files(source_root()),
    }


def stale_files(root: Path, files: Mapping[str, str]) -> list[str]:
    """Files that are missing or differ, and CRDs that should not be there any more."""
    found = {f"{folder}/{path.name}" for folder in _FOLDERS for path in (root / folder).glob("*.yaml")}
    left_over = found - files.keys()
    return sorted({name for name, text in files.items() if _content(root / name) != text} | left_over)


def write(root: Path, name: str, files: Mapping[str, str]) -> None:
    """Bring one file up to date; one that is no longer generated is removed."""
    path = root / name
    if name not in files:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(files[name], encoding="utf-8", newline="\n")


def _content(path: Path) -> str | None:
    return path.read_bytes().decode() if path.is_file() else None
