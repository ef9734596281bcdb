"""A cluster in a file: what ``kai-py snapshot`` writes, and what ``plan`` and ``preview`` replay.

The file is JSON, packed with gzip: a header, and the objects as the API server had them, without what no decision
reads (:mod:`kai_py.planning.trimming`).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kai_py.errors import Fault, InputError, MalformedObjectError
from kai_py.planning.manifests import Sourced
from kai_py.planning.redaction import redacted
from kai_py.planning.trimming import trimmed
from kai_py.telemetry.metrics import installed_version

#: Of the file. Another one is for another program to read.
FORMAT: Final = 1
_KIND: Final = "Snapshot"
#: A file that unpacks to more is not one of ours; bytes.
LARGEST: Final = 4 << 30


@dataclass(frozen=True)
class ClusterSnapshot:
    """A cluster at one moment.

    Attributes:
        objects: everything that decisions depend on.
        time: RFC 3339; what a replay takes for the present.
        version: of the program that wrote it.
        server: the API server's version; empty if it is not known.
        redacted: whether names are replaced.
        warnings: what is not in it, in sentences.
    """

    objects: tuple[dict[str, Any], ...]
    time: str
    version: str = ""
    server: str = ""
    redacted: bool = False
    warnings: tuple[str, ...] = ()

    def sourced(self, source: str) -> list[Sourced]:
        """The objects for a plan: a fault of one was a fault in the cluster too, and is a warning.

        Args:
            source: how warnings call the file.
        """
        return [Sourced(one, source, live=True) for one in self.objects]


def snapshot_of(
    objects: Iterable[Sourced], now: float, *, server: str = "", warnings: Iterable[str] = (), redact: bool = False
) -> ClusterSnapshot:
    """Make a snapshot of objects that were read.

    Args:
        objects: of a live cluster.
        now: when they were read, in seconds since the epoch.
        server: the API server's version.
        warnings: what could not be read.
        redact: whether to replace names, labels and texts.
    """
    kept, doubts = [], list(warnings)
    for one in objects:
        try:
            kept.append(trimmed(one.manifest))
        except MalformedObjectError as error:
            doubts += [f"left out, because it cannot be read: {fault}" for fault in error.faults]
    if redact:
        kept = redacted(kept)[0]
        doubts = [f"{len(doubts)} warnings when it was taken"] if doubts else []
    moment = datetime.fromtimestamp(now, UTC).isoformat()
    return ClusterSnapshot(tuple(kept), moment, installed_version(), server, redact, tuple(doubts))


def write_snapshot(snapshot: ClusterSnapshot) -> bytes:
    """The file. The same snapshot gives the same bytes."""
    document = {
        "apiVersion": "kai-py/v1",
        "kind": _KIND,
        "format": FORMAT,
        "time": snapshot.time,
        "version": snapshot.version,
        "server": snapshot.server,
        "redacted": snapshot.redacted,
        "warnings": snapshot.warnings,
        "objects": snapshot.objects,
    }
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0)


def read_snapshot(path: Path) -> ClusterSnapshot:
    """Read a file.

    Raises:
        InputError: it cannot be read, or is something else; names the file.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise _wrong(path, f"unpacks to more than {LARGEST >> 30} GiB")
        document = json.loads(content)
    except gzip.BadGzipFile as error:
        raise _wrong(path, "is not packed with gzip: write one with kai-py snapshot") from error
    except OSError as error:
        raise _wrong(path, error.strerror or str(error)) from error
    except (EOFError, zlib.error) as error:
        raise _wrong(path, "ends too early, or is damaged") from error
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"is not JSON inside: {error}") from error
    return _understood(path, document)


def _understood(path: Path, document: Any) -> ClusterSnapshot:
    if not isinstance(document, dict) or document.get("kind") != _KIND:
        raise _wrong(path, "is not a snapshot: write one with kai-py snapshot")
    if document.get("format") != FORMAT:
        raise _wrong(path, f"format {document.get('format')!r} is not known to this version, which reads {FORMAT}")
    objects, time, warnings = document.get("objects"), document.get("time"), document.get("warnings")
    if not isinstance(objects, list) or not isinstance(time, str) or not isinstance(warnings, Sequence):
        raise _wrong(path, "objects should be a list and time a text: the file is damaged")
    return ClusterSnapshot(
        tuple(objects),
        time,
        str(document.get("version", "")),
        str(document.get("server", "")),
        bool(document.get("redacted")),
        tuple(map(str, warnings)),
    )


def _wrong(path: Path, message: str) -> InputError:
    return InputError([Fault(str(path), "", message)])
