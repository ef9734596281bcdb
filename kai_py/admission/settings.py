"""The ConfigMap with the settings: what the scheduler would not take is refused with all its faults."""

from __future__ import annotations

from typing import Final

from kai_py.admission.verdict import LET_IN, Known, Request, Verdict, part, refused
from kai_py.errors import SettingsError
from kai_py.settings.load import load_settings

KEY: Final = "settings.yaml"


def decide(request: Request, _: Known) -> Verdict:
    """Whether the settings may be written."""
    if request.operation == "DELETE":
        return LET_IN
    text = part(request.new, "data").get(KEY, "")
    if text == part(request.old, "data").get(KEY):
        return LET_IN
    try:
        load_settings(str(text), where=KEY)
    except SettingsError as error:
        return refused(error.faults)
    return LET_IN
