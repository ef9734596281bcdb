"""The pages as a site: every page has its place, links lead somewhere, and nothing is fetched from elsewhere."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the site is made with Sphinx, of the extra `docs`")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONF = runpy.run_path(str(DOCS / "conf.py"))
#: What a browser loads by itself; links are followed by readers.
_LOADED = re.compile(
    r"""<(?:script|img|iframe|link rel="(?:stylesheet|preload|icon)")[^>]*(?:src|href)="(https?:)?//"""
)


def test_every_page_is_in_the_contents_once():
    below = [f"{Path(page).parent}/{name}" for page, names in CONF["BELOW"].items() for name in names]
    listed = [page for pages in CONF["CONTENTS"].values() for page in pages] + below
    pages = [str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md") if "_build" not in path.parts]
    assert sorted(listed) == sorted(page for page in pages if page != "index")


def test_links_out_of_the_folder_lead_into_the_repository():
    page = DOCS / "guides" / "install.md"
    text = "[a](../limits.md) [b](../../examples/01-queues.yaml) [c](../../examples#x) [d](https://example.com/)"
    repository = CONF["REPOSITORY"]
    assert CONF["outward"](text, page) == (
        f"[a](../limits.md) [b]({repository}/blob/main/examples/01-queues.yaml) "
        f"[c]({repository}/tree/main/examples#x) [d](https://example.com/)"
    )
    with pytest.raises(FileNotFoundError, match="no-such-file"):
        CONF["outward"]("[x](../../examples/no-such-file.yaml)", page)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees")]
    done = subprocess.run([*command, str(DOCS), str(tmp_path / "site")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        assert not _LOADED.search(page.read_text(encoding="utf-8")), page
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert [caption for caption in CONF["CONTENTS"] if f">{caption}</span>" not in home] == []
