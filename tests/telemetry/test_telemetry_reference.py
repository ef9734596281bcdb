from pathlib import Path

from kai_py.core.result import FilterReason, ReasonCode
from kai_py.telemetry.reference import PAGE, reasons_page

ROOT = Path(__file__).parents[2]


def test_the_page_of_reasons_is_up_to_date():
    assert (ROOT / PAGE).read_text(encoding="utf-8") == reasons_page(), "write reference.reasons_page() to the page"


def test_the_page_has_a_heading_for_every_code():
    headings = {line.removeprefix("## ") for line in reasons_page().splitlines() if line.startswith("## ")}
    assert headings == {str(code) for code in (*ReasonCode, *FilterReason)}
