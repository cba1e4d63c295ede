"""For Swift's Run Script window: send the next scans to Atomstream and print what is found in them. Start a scan first.

Needs the same packages as the plug-in (README.md), but not that it runs: set `frames` and `results` below where the service is on another computer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from atomstream_client import Atoms, Failure, FramePublisher, ResultSubscriber
from nionswift_plugin.atomstream import ScanStreamer, Settings

SCANS = 10
SETTINGS = Settings(frames="tcp://127.0.0.1:5555", results="tcp://127.0.0.1:5556")
_PATIENCE_S = 60.0


def script_main(api_broker: Any) -> None:
    """What Swift calls."""
    from nion.utils import Registry  # noqa: PLC0415 - there only in Swift's own Python

    interactive = api_broker.get_interactive("1")
    device = Registry.get_component("stem_controller").scan_controller
    stream(device, SETTINGS, SCANS, lambda: bool(interactive.cancelled))


def stream(device: Any, settings: Settings, scans: int, cancelled: Callable[[], bool]) -> None:
    """Print a line for each of the next scans, until there were enough of them, or nothing has come for a minute.

    device : Nion's scan hardware source
    cancelled : whether the user has had enough
    """
    source = f"nion/{device.hardware_source_id}/script"
    with (
        FramePublisher(source, settings.frames, curve=settings.curve) as publisher,
        ResultSubscriber(settings.results, kinds=("atoms", "error"), source=source, curve=settings.curve) as results,
    ):
        if not publisher.wait_for_reader():
            print(f"no service listens at {settings.frames}")
            return
        with ScanStreamer(device, publisher) as streamer:
            answered, heard = 0, time.monotonic()
            while answered < scans and not cancelled() and time.monotonic() - heard < _PATIENCE_S:
                result = results.receive(0.2)
                if isinstance(result, (Atoms, Failure)) and result_session(result) == publisher.session:
                    print(in_words(result))
                    answered, heard = answered + 1, time.monotonic()
        print(f"{streamer.counts.sent} scans sent, {streamer.counts.dropped} not, {answered} answered")


def result_session(result: Atoms | Failure) -> str | None:
    """Of the publisher whose frame this answers."""
    return result.report.session if isinstance(result, Atoms) else result.session


def in_words(result: Atoms | Failure) -> str:
    """A line about an answer."""
    if isinstance(result, Failure):
        return f"scan {result.seq}: {result.message}"
    report = result.report
    kinds = ", ".join(f"{(result.atoms[:, 2] == number).sum()} {name}" for number, name in enumerate(report.classes))
    return f"scan {report.seq}: {kinds}; {report.latency_ms['total']:.0f} ms; {', '.join(report.flags) or 'no flags'}"
