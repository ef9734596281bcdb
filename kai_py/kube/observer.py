"""Who is told what happens between us and the API server, for metrics: this package counts nothing itself."""

from __future__ import annotations

from typing import Final, Protocol


class Observer(Protocol):
    """Told about requests and watches, in the event loop; must neither block nor raise."""

    def answered(self, method: str, status: int, seconds: float | None) -> None:
        """A request was answered, or was not.

        Args:
            method: an HTTP method, or ``WATCH`` for the beginning of a watch.
            status: of the answer; 200 for all that succeed, 0 when there was none.
            seconds: until the end of the answer; None for watches.
        """

    def restarted(self, kind: str, cause: str) -> None:
        """A watch has ended, or could not be begun, and is tried again.

        Args:
            kind: plural and group, e.g. ``jobs.batch``.
            cause: ``ended`` by the server in its time, ``empty`` if at once and without a word, else the code of the
                error.
        """


class _Nobody:
    def answered(self, method: str, status: int, seconds: float | None) -> None:
        pass

    def restarted(self, kind: str, cause: str) -> None:
        pass


NOBODY: Final[Observer] = _Nobody()
