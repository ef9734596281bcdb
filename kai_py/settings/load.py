"""YAML text to :class:`Settings`, with all faults at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kai_py.api.decode import without_nulls
from kai_py.api.model import faults_of
from kai_py.errors import Fault, SettingsError
from kai_py.settings.keys import every_key
from kai_py.settings.model import Settings
from kai_py.settings.unique_keys import UniqueKeys


def load_settings(document: str | Mapping[str, Any], *, where: str = "settings") -> Settings:
    """Read the settings document.

    Args:
        document: the YAML text, or what was parsed from it. Empty is all defaults, and so is whatever is null.
        where: how faults name the document, e.g. ``ConfigMap kai-scheduler/kai-py-settings``.

    Raises:
        SettingsError: with all faults; for YAML that cannot be read, with its line.
    """
    parsed = _parse(document, where) if isinstance(document, str) else document
    try:
        return Settings.model_validate(without_nulls(parsed), by_alias=True, by_name=False)
    except ValidationError as error:
        raise SettingsError(faults_of(error, where=where, explain=_explain)) from error


class _Loader(UniqueKeys, yaml.SafeLoader):
    """Safe, and strict about keys."""


def _parse(text: str, where: str) -> object:
    try:
        parsed = yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader, only stricter
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError([Fault(where + line, "", f"not YAML: {error.problem or error.context}")]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError([Fault(where, "", f"not YAML: {error}")]) from error
    return {} if parsed is None else parsed


def _explain(error: ErrorDetails) -> str | None:
    """Better words for the two mistakes that a person makes most: a wrong key, and a wrong word from a list."""
    if error["type"] == "extra_forbidden":
        return f"is not a setting{_did_you_mean_key(error['loc'])}"
    if error["type"] == "literal_error" and isinstance(error["input"], str):
        words = re.findall(r"'([^']*)'", error["msg"])
        near = difflib.get_close_matches(error["input"], words, n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        return f"should be {' or '.join(words)}, not {error['input']!r}{hint}"
    return None


def _did_you_mean_key(place: tuple[str | int, ...]) -> str:
    """A key of the same group that looks alike, or one of the same name elsewhere."""
    wrong = str(place[-1])
    group = "".join("[]" if isinstance(part, int) else f".{part}" for part in place[:-1]).removeprefix(".")
    keys = list(every_key())
    near = difflib.get_close_matches(wrong, [key.name for key in keys if key.parent == group], n=1)
    elsewhere = [key.path for key in keys if key.name == wrong]
    return f": did you mean {(near or elsewhere)[0]}?" if near or elsewhere else ""
