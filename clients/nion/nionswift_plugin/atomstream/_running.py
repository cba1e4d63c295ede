"""The scan that is under way, so that nothing of it is lost where it never ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """A channel of a scan that was cut short, with the attributes of Nion's extended data.

    data : rows that were not scanned are 0, whatever the instrument's memory holds there
    """

    data: NDArray[Any]
    metadata: Any
    dimensional_calibrations: Any
    intensity_calibration: Any
    timestamp: Any


class RunningScan:
    """Collects the rows of the scan under way, copying each once."""

    def __init__(self) -> None:
        self.rows = 0
        self._frame: Any = None
        self._buffers: dict[str, NDArray[Any]] = {}
        self._newest: dict[str, Any] = {}

    def begins(self, xdata: Any) -> bool:
        """Whether these rows are those of another scan than the rows before."""
        frame, rows = _place(xdata)
        shape = next(iter(self._buffers.values())).shape if self._buffers else None
        return shape is not None and (frame != self._frame or rows < self.rows or xdata.data.shape != shape)

    def add(self, channel: str, xdata: Any) -> None:
        """Take over the rows that have come since the last time.

        xdata : the rows of this scan so far, above rows of the one before
        """
        frame, rows = _place(xdata)
        if channel not in self._newest:
            self._buffers[channel] = np.zeros_like(xdata.data)
        have = _place(self._newest[channel])[1] if channel in self._newest else 0
        self._buffers[channel][have:rows] = xdata.data[have:rows]
        self._frame, self.rows = frame, rows
        self._newest[channel] = xdata

    def take(self) -> list[Rows]:
        """The channels of a scan that came to no end, and forget it; none where none was under way."""
        taken = [
            Rows(self._buffers[channel], one.metadata, one.dimensional_calibrations, one.intensity_calibration, one.timestamp)
            for channel, one in self._newest.items()
        ]
        self.forget()
        return taken

    def forget(self) -> None:
        """The scan came to its end."""
        self.rows, self._frame = 0, None
        self._buffers, self._newest = {}, {}


def _place(xdata: Any) -> tuple[Any, int]:
    scan, source = xdata.metadata.get("scan", {}), xdata.metadata.get("hardware_source", {})
    rows = int(source.get("valid_rows", 0))
    return (scan.get("scan_id"), source.get("frame_index")), min(rows, xdata.data.shape[0])
