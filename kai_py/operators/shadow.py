"""The shadow: other settings, decided beside those in force and never acted upon; what differs is published.

It is a ``kai-py preview`` of the live cluster in a process of its own, at the lowest priority. So it is decided by the
same code, it may take as long as it likes, and no cycle waits for it. Nothing runs while there are no such settings.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from kai_py.errors import ApiError, LeaseLostError, SettingsError
from kai_py.kube.client import ApiClient
from kai_py.kube.writer import Writer
from kai_py.operators.config_maps import put_config_map
from kai_py.settings.load import load_settings
from kai_py.telemetry.comparison import counts
from kai_py.telemetry.events import EventText, Regarding
from kai_py.telemetry.metrics import Metrics
from kai_py.telemetry.shadow_texts import shadow_sentence, shortened

_log = structlog.get_logger()

#: Beside ``settings.yaml`` in the ConfigMap: a settings document that is only tried out.
SHADOW_KEY: Final = "shadow.yaml"
#: The ConfigMap beside the settings in which the difference is published, and its key.
NAME: Final = "kai-py-shadow"
KEY: Final = "difference.json"
#: From one preview to the next; each lists the whole cluster. Seconds.
PERIOD: Final = 300.0
#: One that takes longer is ended; seconds.
PATIENCE: Final = 600.0
#: How often to look whether we lead, in seconds.
TURN: Final = 1.0

# In the child itself: what is done between fork and exec is not safe in a process with threads.
_GENTLY: Final = "import os, runpy; os.nice(19); runpy.run_module('kai_py', run_name='__main__', alter_sys=True)"


class PreviewFailedError(Exception):
    """A preview ended without an answer; the text says why."""


#: Answers what a settings document would change, as the JSON of ``kai-py preview``; or raises ``PreviewFailedError``.
Previewer = Callable[[str], Awaitable[Mapping[str, Any]]]


def previewer(kubeconfig: str | None, context: str | None, configmap: tuple[str, str]) -> Previewer:
    """Runs ``kai-py preview`` for a settings document, in a process of its own.

    Args:
        kubeconfig: which cluster, as in `kai-py run`.
        context: the same.
        configmap: (namespace, name) of the settings in force.
    """
    options = ["--settings-configmap", "/".join(configmap)]
    options += ["--kubeconfig", kubeconfig] if kubeconfig else []
    options += ["--context", context] if context else []
    command = [sys.executable, "-c", _GENTLY, "preview", "-f", "-", "-o", "json", *options]

    async def run(document: str) -> Mapping[str, Any]:
        return await _answer(command, document.encode())

    return run


async def _answer(command: Sequence[str], document: bytes) -> Mapping[str, Any]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(document)
    except TimeoutError as error:
        raise PreviewFailedError(f"no answer within {PATIENCE:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise PreviewFailedError(err.decode(errors="replace").strip()[-1000:])
    answer: Mapping[str, Any] = json.loads(out)
    return answer


class Shadow:
    """Keeps a preview of other settings up to date.

    Args:
        client: to read with.
        writer: to write with; its fence keeps all but the leader from it.
        metrics: where numbers go.
        preview: answers for a settings document, as :func:`previewer`.
        namespace: of the ConfigMap with the answer; None = it is not written.
        leading: whether we may write.
        tell: hands on an Event.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        metrics: Metrics,
        preview: Previewer,
        *,
        namespace: str | None,
        leading: Callable[[], bool],
        tell: Callable[[EventText], None],
    ) -> None:
        self._client = client
        self._writer = writer
        self._metrics = metrics
        self._preview = preview
        self._namespace = namespace
        self._leading = leading
        self._tell = tell
        self._about: Regarding | None = None
        self._read = self._document = ""
        self._changed = asyncio.Event()
        self._said = ""
        self._written = ""

    def take(self, document: str, about: Regarding) -> None:
        """Other settings were read; an empty text is none.

        Args:
            document: the text of ``shadow.yaml``.
            about: the ConfigMap, for Events.
        """
        self._about = about
        if document == self._read:
            return
        self._read = self._document = document
        self._said = ""
        self._metrics.shadow_differences.clear()
        faults = []
        if document.strip():
            try:
                load_settings(document, where=SHADOW_KEY)
            except SettingsError as error:
                faults = [str(fault) for fault in error.faults]
        self._metrics.shadow_faults.set(len(faults))
        if faults:
            self._document = ""
            self._tell(EventText(about, "Warning", "InvalidShadow", "Comparing", "; ".join(faults)))
        self._changed.set()

    async def run(self) -> None:
        """Compare whenever there is something to compare with; until cancelled."""
        while True:
            self._changed.clear()
            if not self._document.strip():
                await self._changed.wait()
                continue
            if not self._leading():
                await asyncio.sleep(TURN)
                continue
            await self._compare(self._document)
            try:
                async with asyncio.timeout(PERIOD):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _compare(self, document: str) -> None:
        try:
            difference = await self._preview(document)
        except (PreviewFailedError, OSError, ValueError) as error:
            _log.warning("shadow settings not compared", error=str(error))
            return
        if document != self._document or not self._leading():
            return  # it answers a question that is not asked any more
        for (kind, change), count in counts(difference).items():
            self._metrics.shadow_differences.labels(kind, change).set(count)
        sentence = shadow_sentence(difference)
        if sentence != self._said and self._about is not None:
            self._said = sentence
            self._tell(EventText(self._about, "Normal", "ShadowCompared", "Comparing", sentence))
            _log.info("shadow settings compared", difference=sentence)
        await self._publish(json.dumps(shortened(difference), sort_keys=True))

    async def _publish(self, text: str) -> None:
        if self._namespace is None or text == self._written:
            return
        try:
            await put_config_map(self._client, self._writer, self._namespace, NAME, {KEY: text})
            self._written = text
        except LeaseLostError:
            return
        except ApiError as error:
            _log.warning("difference of shadow settings not written", error=str(error))
