"""Pages link to what exists, and commands that they show are commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from kai_py import plan
from kai_py.cli.app import COMMANDS
from kai_py.minicluster.pools import nodes

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")
_EXAMPLE = re.compile(r"\bexamples/[\w./-]*")
_COMMAND = re.compile(r"(?:^|[`\s/])kai-py ([a-z]+)\b", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = [
        target for target in _LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / target).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page.read_text(encoding="utf-8"), re.DOTALL))
    assert set(_COMMAND.findall(code)) <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_that_commands_name_exist(page: Path) -> None:
    code = "\n".join(re.findall(r"```.*?```", page.read_text(encoding="utf-8"), re.DOTALL))
    assert [name for name in _EXAMPLE.findall(code) if not (ROOT / name).exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop().resolve()
        if page in reached or not page.is_file() or page.suffix != ".md":
            continue
        reached.add(page)
        todo += [page.parent / target for target in _LINK.findall(page.read_text(encoding="utf-8"))]
    pages = {page.resolve() for page in (ROOT / "docs").rglob("*.md") if "decisions" not in page.parts}
    assert sorted(pages - reached) == []


def test_plans_on_the_first_page_have_an_answer() -> None:
    """With nodes beside them, as the page says."""
    text = (ROOT / "docs" / "try-it.md").read_text(encoding="utf-8")
    plans = [line for line in text.splitlines() if "kai-py plan" in line and "examples/" in line.partition("plan")[2]]
    assert plans
    for line in plans:
        files = re.findall(r"-f (examples/\S*)", line)
        manifests = [one for name in files for one in yaml.safe_load_all((ROOT / name).read_text(encoding="utf-8"))]
        answer = plan([*nodes("h100", 20), *manifests]).to_dict()
        assert answer["cycles"][0]["binds"], line
        assert answer["cycles"][-1]["waiting"] == [], line
