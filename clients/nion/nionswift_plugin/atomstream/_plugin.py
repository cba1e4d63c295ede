"""What runs as long as Swift does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atomstream_client import Atoms, FramePublisher

from ._display import AtomsItem
from ._reader import AtomsReader
from ._settings import Settings
from ._streamer import Counts, ScanStreamer

log = logging.getLogger("atomstream")

_KEPT = 4
"""Frames, at least, that wait for their atoms, to be shown with them."""


def source_of(device: Any) -> str:
    """What a scan device's frames are called: `nion/` and Nion's own name for it."""
    return f"nion/{device.hardware_source_id}"


@dataclass(frozen=True)
class _Line:
    publisher: FramePublisher
    streamer: ScanStreamer
    reader: AtomsReader | None

    def close(self) -> None:
        self.streamer.close()
        if self.reader is not None:
            self.reader.close()
        self.publisher.close(linger_s=0.2)


class Plugin:
    """Streams the scan devices that there are and those that come later.

    settings : where to, and which
    display : where atoms are shown; called with the first answer, when Swift's windows are there. None = nowhere
    """

    def __init__(self, settings: Settings, display: Callable[[], AtomsItem] | None = None) -> None:
        from nion.instrumentation import HardwareSource  # noqa: PLC0415 - there only in Swift's own Python

        self._settings = settings
        self._display = display
        self._item: AtomsItem | None = None
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        manager = HardwareSource.HardwareSourceManager()
        self._listeners = [manager.hardware_source_added_event.listen(self._added), manager.hardware_source_removed_event.listen(self._removed)]
        for device in list(manager.hardware_sources):
            self._added(device)

    @property
    def counts(self) -> dict[str, Counts]:
        """Source -> what became of its scans."""
        with self._lock:
            return {source: line.streamer.counts for source, line in self._lines.items()}

    def wait_for_service(self, timeout_s: float = 10.0) -> bool:
        """Wait until a service listens to every scan device; False after the timeout. For scripts: Swift itself never waits."""
        with self._lock:
            lines = list(self._lines.values())
        deadline = time.monotonic() + timeout_s
        return all(line.publisher.wait_for_reader(deadline - time.monotonic()) for line in lines)

    def close(self) -> None:
        """Stop streaming and say what was sent."""
        for listener in self._listeners:
            listener.close()
        with self._lock:
            lines, self._lines = self._lines, {}
        for source, line in lines.items():
            line.close()
            log.info("%s: %s", source, line.streamer.counts)

    def _added(self, device: Any) -> None:
        wanted = self._settings.scan_device in (None, device.hardware_source_id)
        if not wanted or not device.features.get("is_scanning"):
            return
        source, settings = source_of(device), self._settings
        with self._lock:
            if source in self._lines:
                return
            publisher = FramePublisher(source, settings.frames, curve=settings.curve)
            streamer = ScanStreamer(device, publisher, keep=0 if self._display is None else _KEPT)
            reader = None
            if self._display is not None:
                reader = AtomsReader(settings.results, source, publisher.session, self._shower(streamer), settings.curve)
            self._lines[source] = _Line(publisher, streamer, reader)
        log.info("frames of %s go to %s as %s", device.hardware_source_id, settings.frames, source)

    def _removed(self, device: Any) -> None:
        with self._lock:
            line = self._lines.pop(source_of(device), None)
        if line is not None:
            line.close()

    def _shower(self, streamer: ScanStreamer) -> Callable[[Atoms], None]:
        def show(result: Atoms) -> None:
            frame = streamer.frame(result.report.seq)
            if self._item is None and self._display is not None:
                self._item = self._display()
            if frame is not None and self._item is not None:
                self._item.show(result, frame, streamer.counts)

        return show
