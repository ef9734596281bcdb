"""Reading an owner's manifest: every step is checked, and an error names object and field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kai_py.api.model import path
from kai_py.errors import Fault
from kai_py.podgrouper.errors import GroupingError

#: Of an int32, as which the API servers keep all these numbers.
LARGEST: Final = 2**31 - 1
#: So much of a value that is wrong is shown.
_SHOWN: Final = 60


class Field:
    """A place in a manifest, and what is there.

    Args:
        where: how messages name the object.
        name: path of the field; or the field above and the last step, from which it is made when it is needed.
        value: what is there; ``None`` if nothing is.
    """

    __slots__ = ("_name", "value", "where")

    def __init__(self, where: str, name: str | tuple[Field, str], value: Any) -> None:
        self.where = where
        self._name = name
        self.value = value

    @property
    def name(self) -> str:
        """Path of the field."""
        if isinstance(self._name, str):
            return self._name
        above, step = self._name
        return path(above.name, step)

    def at(self, *steps: str) -> Field:
        """The field further down; absent if anything on the way is.

        Raises:
            GroupingError: what is on the way is not an object.
        """
        here = self
        for step in steps:
            value = here.value
            # Manifests are dicts; to ask for any Mapping takes longer than all the rest.
            if type(value) is dict or isinstance(value, Mapping):
                value = value.get(step)
            elif value is not None:
                raise here.wrong("should be an object")
            here = Field(here.where, (here, step), value)
        return here

    def __bool__(self) -> bool:
        return self.value is not None

    def number(self, *, least: int = 0) -> int | None:
        """The whole number that is there; ``None`` if nothing is.

        Raises:
            GroupingError: it is not one, or it is too small or too large.
        """
        value = self.value
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
            raise self.wrong(f"should be a whole number from {least} on")
        return value

    def numeral(self, *, least: int) -> int | None:
        """The whole number that is written there as text, as in annotations and labels; ``None`` if nothing is."""
        text = self.text()
        if text is None:
            return None
        if (number := whole_number(text)) is None or number < least:
            raise self.wrong(f"should be a whole number from {least} on")
        return number

    def text(self) -> str | None:
        """The text that is there; ``None`` if there is nothing, or an empty one."""
        if self.value is None or isinstance(self.value, str):
            return self.value or None
        raise self.wrong("should be text")

    def flag(self) -> bool:
        """Whether the field is true; an absent one is not."""
        if self.value is None or isinstance(self.value, bool):
            return bool(self.value)
        raise self.wrong("should be true or false")

    def items(self) -> Iterator[Field]:
        """The entries of a list; none if it is absent."""
        if self.value is None:
            return
        if not isinstance(self.value, list | tuple):
            raise self.wrong("should be a list")
        for index, item in enumerate(self.value):
            yield Field(self.where, f"{self.name}[{index}]", item)

    def entries(self) -> Mapping[str, Field]:
        """The fields of an object, by name; none if it is absent."""
        if self.value is None:
            return {}
        if not isinstance(self.value, Mapping) or not all(isinstance(key, str) for key in self.value):
            raise self.wrong("should be an object")
        return {key: self.at(key) for key in self.value}

    def wrong(self, message: str) -> GroupingError:
        """The error about this field."""
        shown = repr(self.value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        return self.fault(message if self.value is None else f"{message}, not {shown}")

    def fault(self, message: str) -> GroupingError:
        """The error about this field, whatever is in it."""
        return GroupingError([Fault(self.where, self.name, message)])

    def missing(self) -> GroupingError:
        """The error that this field has to be there."""
        return self.fault("is required")


def whole_number(text: str) -> int | None:
    """The number that a text writes in decimal digits, if it is one of at most 32 bits."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= len(str(LARGEST))):
        return None
    number = int(text)
    return number if number <= LARGEST else None
