"""How tests run: properties without a clock, with new examples on every desk and the same ones in CI; and on how many
workers."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no bug: properties are about answers, never about time. CI tries what it tried before, so that a
# change is judged by what it changes; whoever develops finds the rare cases.
settings.register_profile("untimed", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("untimed")

#: What starts servers and schedulers as processes: side by side, they would take each other's time.
_APART = frozenset({"bench", "demo", "e2e", "helm"})
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all tests with processes to one worker, so that the others are the unit tests'."""
    for item in items:
        if item.path.relative_to(_HERE).parts[0] in _APART:
            item.add_marker(pytest.mark.xdist_group("processes"))
