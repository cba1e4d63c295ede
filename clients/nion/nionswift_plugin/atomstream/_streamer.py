"""One scan device, and the service that its frames go to."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from atomstream_client import FramePublisher, KeysRefused

from ._frame import ScanFrame, rows_scanned, scan_frame
from ._running import RunningScan

log = logging.getLogger("atomstream")

_MOST_KEPT = 100
_MOST_KEPT_BYTES = 64 << 20


@dataclass(frozen=True)
class Counts:
    """What became of the scans so far.

    sent : handed to the network
    dropped : not sent, because nobody listened, the service was behind, or it refused this publisher's keys
    failed : not sent, because something in them was unexpected; the log says what
    cut_short : of all these, scans that were aborted or suspended before their last row
    """

    sent: int = 0
    dropped: int = 0
    failed: int = 0
    cut_short: int = 0

    @property
    def scans(self) -> int:
        return self.sent + self.dropped + self.failed


class ScanStreamer:
    """Sends every scan of a device, all its channels in one message, while it is open.

    Runs on Swift's acquisition thread, which it never keeps waiting: a frame is copied and sent, or dropped and counted. Nothing that goes wrong here
    reaches the scan. Scans that are cut short are sent, too, flagged and with the rows that they have (`complete`, `valid_rows`).

    device : Nion's scan hardware source
    publisher : where the frames go, and nobody else's; it stays the caller's to close
    keep : how many of the last frames `frame` knows at least; of small ones it knows more, since the faster a scan is, the more of them wait for an answer
    """

    def __init__(self, device: Any, publisher: FramePublisher, *, keep: int = 0) -> None:
        self._device = device
        self._keep = keep
        self._publisher = publisher
        # Swift fires these events on its acquisition thread, and the last one also on others.
        self._lock = threading.RLock()
        self._running = RunningScan()
        self._sectioned = False
        self._aborted_before = False
        self._counts = Counts()
        self._kept: OrderedDict[int, ScanFrame] = OrderedDict()
        self._complaint = ""
        self._listeners = [
            device.xdatas_available_event.listen(self._ended),
            device.data_channel_updated_event.listen(self._rows_came),
            device.acquisition_state_changed_event.listen(self._state_changed),
        ]

    @property
    def counts(self) -> Counts:
        return self._counts

    def frame(self, seq: int) -> ScanFrame | None:
        """The scan that went out with this `seq`, if it is among those that are kept."""
        with self._lock:
            return self._kept.get(seq)

    def close(self) -> None:
        """Hear of no more scans."""
        for listener in self._listeners:
            listener.close()
        self._listeners = []

    def __enter__(self) -> ScanStreamer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _rows_came(self, channel: Any, xdata: Any) -> None:
        with self._harmless():
            partial = channel.state != "complete"
            self._sectioned = partial and _is_section(xdata)
            if partial and not self._sectioned and xdata.data.ndim == 2:
                if self._running.begins(xdata):
                    self._came_to_no_end()
                self._running.add(channel.data_channel_id, xdata)

    def _ended(self, promises: Sequence[Any]) -> None:
        with self._harmless(a_scan=True):
            # Swift announces every section of a frame that is scanned section by section; the last one completes it.
            if self._sectioned:
                return
            # Asking a promise for its data copies it out of the instrument's memory.
            xdatas = [promise.xdata for promise in promises]
            images = [one for one in xdatas if one is not None and one.data.ndim == 2]
            if not images:
                return
            # A scan that was suspended for this one starts anew later.
            if self._running.begins(images[0]):
                self._came_to_no_end()
            aborted = bool(self._device.is_aborted) and not self._aborted_before
            rows = rows_scanned([one.data for one in images], aborted, self._running.rows)
            self._running.forget()
            self._send(images, rows)

    def _state_changed(self, acquires: bool) -> None:
        with self._harmless():
            if acquires:
                # `record_immediate` leaves it as the scan before has left it.
                self._aborted_before = bool(self._device.is_aborted)
            else:
                self._came_to_no_end()

    def _came_to_no_end(self) -> None:
        rows, parts = self._running.rows, self._running.take()
        if parts:
            with self._harmless(a_scan=True):
                self._send(parts, rows)

    def _send(self, xdatas: Sequence[Any], rows: int | None) -> None:
        frame = scan_frame(xdatas, rows=rows)
        seq = self._publisher.sent + self._publisher.dropped
        try:
            out = self._publisher.publish(frame.channels, **frame.about)
        except KeysRefused as error:
            out = False
            self._complain(str(error))
        counts = self._counts
        self._counts = replace(counts, sent=counts.sent + out, dropped=counts.dropped + (not out), cut_short=counts.cut_short + (rows is not None))
        if out and self._keep:
            self._kept[seq] = frame
        while len(self._kept) > self._keep and (len(self._kept) > _MOST_KEPT or self._kept_bytes() > _MOST_KEPT_BYTES):
            self._kept.popitem(last=False)

    def _kept_bytes(self) -> int:
        return sum(image.nbytes for frame in self._kept.values() for image in frame.channels.values())

    @contextlib.contextmanager
    def _harmless(self, a_scan: bool = False) -> Iterator[None]:
        """Keep every surprise from Swift's acquisition thread, and count the scan that it cost."""
        try:
            with self._lock:
                yield
        except Exception as error:
            self._counts = replace(self._counts, failed=self._counts.failed + a_scan)
            self._complain(f"{'a scan was not sent' if a_scan else 'rows were not understood'}: {type(error).__name__}: {error}")

    def _complain(self, words: str) -> None:
        """Say it once, not with every scan."""
        if words != self._complaint:
            self._complaint = words
            log.warning("%s", words)


def _is_section(xdata: Any) -> bool:
    parameters = xdata.metadata.get("scan", {}).get("scan_device_parameters", {})
    return bool(parameters.get("subscan_type_partial"))
