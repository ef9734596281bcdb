"""The examples of the page on fairness come out as it says."""

import re
from pathlib import Path

import pytest
import yaml

from kai_py import fair_share

PAGE = Path(__file__).parents[2] / "docs" / "fairness.md"
#: A document, and the table right behind it.
EXAMPLE = re.compile(r"```fairshare\n(?P<document>[^`]*)```\n\n(?P<table>(?:\|.*\n)+)")
ROW = re.compile(r"^\| (?P<queue>[\w-]+) \| (?P<share>[\d.]+) \|$", re.MULTILINE)


def examples():
    """Parameters: a document, and what its table says."""
    text = PAGE.read_text(encoding="utf-8")
    found = list(EXAMPLE.finditer(text))
    assert len(found) == text.count("```fairshare") >= 8
    for number, example in enumerate(found, start=1):
        expected = {row["queue"]: float(row["share"]) for row in ROW.finditer(example["table"])}
        yield pytest.param(yaml.safe_load(example["document"]), expected, id=str(number))


@pytest.mark.parametrize(("document", "expected"), list(examples()))
def test_an_example_of_the_page_is_divided_as_its_table_says(document, expected):
    answer = fair_share(document)
    assert {name: shares["gpu"]["fairShare"] for name, shares in answer["queues"].items()} == expected


def test_the_warning_that_the_page_announces_is_given():
    warnings = [warning for example in examples() for warning in fair_share(example.values[0])["warnings"]]
    assert len(warnings) == 1
    assert "add up to 12 of 8" in warnings[0]
