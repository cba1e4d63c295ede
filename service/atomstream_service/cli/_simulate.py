from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count as numbers
from pathlib import Path
from types import FrameType
from typing import get_args

from atomstream_client import FramePublisher
from atomstream_models.errors import InputError
from atomstream_models.simulation import Material, SimulatedMicroscope

from ._commands import Commands
from ._pixel_size import check_size

_MILD = 8
"""Frames before conditions get worse, where they do."""
_LOOK_S = 1.0
_LINGER_S = 2.0


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "simulate",
        help="be a microscope: stream simulated frames to a running service",
        description="Stream scans of a simulated specimen to a running service until interrupted, as a microscope does: frames wait for nobody, and those sent "
        "while no service listens are lost and counted. `atomstream demo` brings a service of its own instead.",
    )
    parser.add_argument("--to", default="tcp://127.0.0.1:5555", metavar="tcp://HOST:PORT", help="where the service receives frames")
    parser.add_argument("--material", choices=get_args(Material), default="graphene", help="what lies under the microscope (graphene)")
    parser.add_argument("--fps", type=float, default=2.0, metavar="F", help="frames a second, where this machine makes as many (2)")
    parser.add_argument("--side", type=int, default=512, metavar="PIXELS", help="rows and columns of a frame (512)")
    parser.add_argument(
        "--drift", type=int, metavar="FRAMES", help="let conditions get worse over so many frames, from the ninth on; they stay good by default"
    )
    parser.add_argument("--count", type=int, metavar="N", help="end after so many frames")
    parser.add_argument("--seed", type=int, default=0, help="seed of the movie (0)")
    parser.add_argument("--source", default="simulated/microscope", metavar="NAME", help="whom the frames come from (simulated/microscope)")
    parser.add_argument("--curve", type=Path, metavar="FILE", help="keys from `atomstream keys curve add`, for a service that asks for keys")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    check_size(given.fps, "--fps")
    for flag, value, least in (("--side", given.side, 64), ("--drift", given.drift, 1), ("--count", given.count, 1), ("--seed", given.seed, 0)):
        if value is not None and value < least:
            raise InputError(f"{flag} is {value}; at least {least} is needed")
    mild, drift = (sys.maxsize, 1) if given.drift is None else (_MILD, given.drift)
    microscope = SimulatedMicroscope(given.seed, (given.side, given.side), material=given.material, mild=mild, drift=drift)
    with _told_to_end() as end:
        publisher = FramePublisher(given.source, given.to, curve=given.curve)
        try:
            _wait(publisher, given.to, end)
            _stream(publisher, microscope, given.fps, given.count, end)
        finally:
            publisher.close(linger_s=_LINGER_S if publisher.sent else 0)
            print(f"sent {publisher.sent} frames, {publisher.dropped} dropped", flush=True)
    return 0 if given.count is None or publisher.sent == given.count else 1


def _wait(publisher: FramePublisher, to: str, end: threading.Event) -> None:
    if not publisher.wait_for_reader(_LOOK_S):
        print(f"waiting for a service at {to}", flush=True)
        while not end.is_set() and not publisher.wait_for_reader(_LOOK_S):
            pass
    if not end.is_set():
        print(f"streaming to {to}; Ctrl-C ends it", flush=True)


def _stream(publisher: FramePublisher, microscope: SimulatedMicroscope, fps: float, count: int | None, end: threading.Event) -> None:
    due = time.monotonic()
    for k in numbers() if count is None else range(count):
        frame = microscope.next_frame()
        if end.wait(max(0.0, due - time.monotonic())):
            return
        publisher.publish(frame.image, frame=k, pixel_size=(frame.pixel_nm, frame.pixel_nm), t_end=time.time())
        due = max(due + 1 / fps, time.monotonic())


@contextlib.contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """Set by an interrupt or SIGTERM, so that no frame is cut short and every one is counted."""
    end = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        end.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
