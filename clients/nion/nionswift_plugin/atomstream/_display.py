"""The atoms in Swift's own windows: a data item that is drawn anew with every answer."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from atomstream_client import Atoms

from ._frame import ScanFrame
from ._picture import picture
from ._streamer import Counts


class AtomsItem:
    """A data item `Atoms: SOURCE`, made where the document that is open has none of that name.

    Only the newest picture waits for Swift's thread: where that is busy, pictures are left out. Without a window, nothing is shown.

    api : Swift's; its document and its windows are others once the user has opened another project
    """

    def __init__(self, api: Any) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._newest: tuple[str, Any] | None = None
        self._shown: dict[str, Any] = {}

    def show(self, result: Atoms, frame: ScanFrame, counts: Counts) -> None:
        """Draw an answer; from any thread."""
        data = _described(result, frame, counts)
        with self._lock:
            self._newest = (f"Atoms: {result.report.source}", data)
        # Queued each time, because a window that is closed forgets what waits for it; while none is open, Swift's API fails in either of these ways.
        with contextlib.suppress(IndexError, AttributeError):
            self._api.queue_task(self._update)

    def _update(self) -> None:
        with self._lock:
            newest, self._newest = self._newest, None
        if newest is None:
            return
        title, data = newest
        library = self._api.library
        item = library.get_data_item_by_uuid(self._shown[title]) if title in self._shown else None
        # To ask all for their titles takes a tenth of a second a thousand, in which Swift's windows stand still.
        if item is None or item.title != title:
            item = next((one for one in library.data_items if one.title == title), None)
        if item is None:
            item = library.create_data_item_from_data_and_metadata(data, title)
        else:
            item.set_data_and_metadata(data)
        self._shown[title] = item.uuid


def _described(result: Atoms, frame: ScanFrame, counts: Counts) -> Any:
    """The picture with the frame's calibration, and how it came about in its metadata."""
    from nion.data import Calibration, DataAndMetadata  # noqa: PLC0415 - there only in Swift's own Python

    report = result.report
    axes = None if frame.geometry is None else [Calibration.Calibration(0.0, size, "nm") for size in frame.geometry.pixel_size_nm]
    metadata = {
        "atomstream": {
            "atoms": len(result.atoms),
            "flags": list(report.flags),
            "seq": report.seq,
            "ensemble": f"{report.ensemble.name} {report.ensemble.version}",
            "generation": report.ensemble.generation,
            "members_used": list(report.members_used),
            "latency_ms": dict(report.latency_ms),
            "scans": {"sent": counts.sent, "dropped": counts.dropped, "failed": counts.failed, "cut_short": counts.cut_short},
            "lost_by_the_service": dict(report.dropped),
        }
    }
    return DataAndMetadata.new_data_and_metadata(picture(frame.channels[report.channel], result.atoms), dimensional_calibrations=axes, metadata=metadata)
