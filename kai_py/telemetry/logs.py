"""Logging for the whole process: structlog, and the standard library's loggers through the same renderer."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, Final, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from kai_py.telemetry.printable import printable

Format = Literal["console", "json"]

#: Libraries that report every object or request at INFO; their warnings are ours to see.
_CHATTY: Final = ("kopf", "aiohttp.access", "asyncio")
#: What kopf's object loggers attach to a record: which object it is about.
_KOPF_REFERENCE: Final = "k8s_ref"


def configure(format: Format = "console", level: str = "info", *, stream: TextIO | None = None) -> None:  # noqa: A002  # as the command line calls it
    """Set up logging for the process; a second call replaces the first.

    Args:
        format: ``console`` for people, ``json`` (one object per line, keys ``ts``, ``level``, ``event``) for machines.
        level: lowest level that is shown: debug, info, warning, error or critical.
        stream: where lines go; by default standard error.

    Raises:
        ValueError: there is no such level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"{level!r} is not a log level: use debug, info, warning, error or critical")
    out = stream if stream is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    ending = _renderers(format, out)
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,  # module-level loggers must follow a second call
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, _kopf_object],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING) if number > logging.DEBUG else number)
    logging.captureWarnings(True)


def _renderers(format: Format, out: TextIO) -> Sequence[Processor]:  # noqa: A002  # as above
    if format == "json":
        # Locals stay out of tracebacks: they hold tokens, and whole objects.
        transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return (structlog.processors.ExceptionRenderer(transformer), structlog.processors.JSONRenderer(_json))
    return (
        _visible,
        structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="ts", sort_keys=False
        ),
    )


def _visible(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Values of keys may be users' words; JSON escapes them by itself. The event is ours, or a library's."""
    for key, value in event.items():
        if isinstance(value, str) and key != "event":
            event[key] = printable(value)
    return event


def _json(event: EventDict, **_: Any) -> str:
    """One line. What JSON has no word for is shown as ``repr`` has it: a log line must not fail."""
    return msgspec.json.encode(event, enc_hook=repr).decode()


def _kopf_object(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Name the object that a kopf record is about, as ``object="Queue research"``."""
    reference = getattr(event.get("_record"), _KOPF_REFERENCE, None)
    if isinstance(reference, dict):
        name = "/".join(part for part in (reference.get("namespace"), reference.get("name")) if part)
        event["object"] = f"{reference.get('kind')} {name}"
    return event
