"""How `make docs` makes a site of these pages: Sphinx reads them as they are, and the order of the pages is here.

The pages are Markdown that GitHub shows, too. So what only a site needs is added while they are read: the tables of
contents, and addresses in the repository for links that leave this folder.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pygments.lexers.data import YamlLexer
from sphinx.highlighting import lexers

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
REPOSITORY: Final = "https://github.com/kai-py/kai-py"

#: The site's contents: what leads somebody through, what answers "how do I", what is looked up, what explains.
CONTENTS: Final = {
    "Tutorial": ["try-it", "guides/examples"],
    "How to": [
        "guides/install",
        "guides/from-kai",
        "guides/from-coscheduling",
        "guides/preview",
        "guides/decisions",
        "guides/bug-report",
        "guides/access",
        "guides/shared-gpus",
        "guides/usage-over-time",
        "guides/kubectl",
        "guides/conformance",
    ],
    "Reference": [
        "reference/settings",
        "reference/crds",
        "reference/annotations",
        "reference/cli",
        "reference/metrics",
        "reference/reasons",
        "honours",
        "limits",
        "glossary",
    ],
    "Explanation": [
        "architecture",
        "fairness",
        "packing",
        "topology",
        "numa",
        "devices",
        "workloads",
        "survival",
        "minicluster",
        "benchmarks",
    ],
    "Runbooks": ["runbooks/README"],
    "Decisions": sorted(f"decisions/{path.stem}" for path in (HERE / "decisions").glob("*.md")),
}
#: Pages below a page that lists them.
BELOW: Final = {"runbooks/README": sorted(path.stem for path in (HERE / "runbooks").glob("KaiPy*.md"))}

project = "kai-py"
copyright = "the kai-py authors, Apache-2.0"  # noqa: A001  # Sphinx' name
extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns = ["_build"]

myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "kai-py"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": ["view", "edit"],
}
# Most blocks without a name are commands, or what they print.
highlight_language = "text"
# Blocks of these names are documents of ours, and YAML.
lexers["fairshare"] = YamlLexer()

_LINK: Final = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?\)")


def outward(text: str, page: Path) -> str:
    """Let links of a page that leave this folder lead into the repository.

    Args:
        text: of the page.
        page: its file.

    Raises:
        FileNotFoundError: a link leads nowhere.
    """

    def repaired(found: re.Match[str]) -> str:
        opening, target, anchor = found[1], found[2], found[3] or ""
        aim = (page.parent / target).resolve()
        inside = aim.is_relative_to(HERE) and aim.is_file()
        if inside or not aim.is_relative_to(ROOT):
            return found[0]
        if not aim.exists():
            raise FileNotFoundError(f"{page}: a link to {target}")
        kind = "tree" if aim.is_dir() else "blob"
        return f"{opening}{REPOSITORY}/{kind}/main/{aim.relative_to(ROOT)}{anchor})"

    return _LINK.sub(repaired, text)


def contents(name: str) -> str:
    """The tables of contents that belong to a page; empty for most."""
    if name == root_doc:
        return "".join(_toctree(pages, caption) for caption, pages in CONTENTS.items())
    return _toctree(BELOW[name]) if name in BELOW else ""


def _toctree(pages: list[str], caption: str = "") -> str:
    options = ":hidden:\n" + (f":caption: {caption}\n" if caption else "")
    return "\n\n```{toctree}\n" + options + "\n" + "\n".join(pages) + "\n```\n"


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""

    def read(_: Sphinx, name: str, source: list[str]) -> None:
        source[0] = outward(source[0], HERE / f"{name}.md") + contents(name)

    app.connect("source-read", read)
