"""Nion Swift's plug-in: every scan goes to Atomstream as it ends, and its atoms come back into a data item.

Swift finds it by its name (`nionswift_plugin.*`) and calls `run` and `stop`. For scripts and programs:

    Plugin        all scan devices, as Swift runs it
    ScanStreamer  one scan device
    ScanGeometry  where the pixels of a frame lie, in nm
    scan_frame    Nion's extended data as the fields of a frame
    to_shares     places in nm as probe positions (and `context_geometry`, `to_place_nm`, `scanned_s`)

Needs numpy, pyzmq and atomstream_client beside Swift itself.
"""

from __future__ import annotations

from typing import Any

from ._display import AtomsItem
from ._frame import ScanFrame, scan_frame
from ._geometry import ScanGeometry
from ._plugin import Plugin, source_of
from ._probe import context_geometry, scanned_s, to_place_nm, to_shares
from ._settings import BadSettings, Settings, read_settings
from ._streamer import Counts, ScanStreamer

__all__ = [
    "AtomsItem",
    "AtomstreamExtension",
    "BadSettings",
    "Counts",
    "Plugin",
    "ScanFrame",
    "ScanGeometry",
    "ScanStreamer",
    "Settings",
    "context_geometry",
    "read_settings",
    "run",
    "scan_frame",
    "scanned_s",
    "source_of",
    "stop",
    "to_place_nm",
    "to_shares",
]

_running: list[Plugin] = []
_api: list[Any] = []


class AtomstreamExtension:
    """Swift makes one before it calls `run` and closes it when it ends."""

    extension_id = "atomstream.nion"

    def __init__(self, api_broker: Any) -> None:
        _api[:] = [api_broker.get_api("~1.0")]

    def close(self) -> None:
        stop()


def run() -> None:
    """Start streaming; Swift calls this once. Where no service listens, scans are counted as dropped until one does."""
    if not _running:
        settings = read_settings()
        _running.append(Plugin(settings, _document if settings.show and _api else None))


def stop() -> None:
    """Stop streaming."""
    while _running:
        _running.pop().close()


def _document() -> AtomsItem:
    return AtomsItem(_api[0])
