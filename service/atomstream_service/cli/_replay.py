from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from atomstream_client import BadFrame, FramePublisher, KeysRefused
from atomstream_models.errors import InputError

from ..files import FileFrames, FolderWatch, as_text, open_frames
from ._commands import Commands
from ._pixel_size import check_size

_ROOM_S = 60.0
"""A file can wait for a service that is behind; a scan could not."""
_LINGER_S = 60.0
_FPS = 2.0
_RECORDED = "recorded"
_PREFIX = "replay/"
_WATCHED = "files/"
_LOOK_S = 0.5
_SETTLE_S = 2.0


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "replay",
        help="send the frames of a file, or of every file that appears in a folder",
        description="Send the frames of a file to a running service: a recording, .npy, .npz, TIFF, HDF5, MRC, .ser, .emd, .hspy, .ndata, and with the extra "
        "`formats` .dm3, .dm4 and .zspy. A recording's frames are sent with the headers that they came with, from the source replay/SOURCE. "
        "With --watch, every file that appears in a folder is sent as soon as it has stopped growing, from the source files/FOLDER, until Ctrl-C.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("file", type=Path, nargs="?", help="a file of frames")
    what.add_argument("--watch", type=Path, metavar="DIR", help="a folder in which an instrument leaves its files")
    parser.add_argument("--to", default="tcp://127.0.0.1:5555", metavar="tcp://HOST:PORT", help="where the service receives frames")
    parser.add_argument("--fps", type=_pace, metavar="F|recorded", help=f"frames a second, or as recorded (recordings: recorded, else {_FPS:g})")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="so many times as fast (1)")
    parser.add_argument("--dataset", metavar="PATH", help="which array of a file that has several")
    parser.add_argument("--pixel-size-nm", type=float, help="pixel size in nm, in place of what the file says")
    parser.add_argument("--socket", choices=("pub", "push"), default="pub", help="push for a service that pulls; it waits, so nothing is lost")
    parser.add_argument("--curve", type=Path, metavar="FILE", help="keys from `atomstream keys curve add`, for a service that asks for keys")
    parser.add_argument("--existing", action="store_true", help="with --watch: send what is in the folder already, too")
    parser.add_argument("--settle-s", type=float, default=_SETTLE_S, metavar="S", help=f"with --watch: how long a file must not have changed ({_SETTLE_S:g})")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    check_size(given.speed, "--speed")
    check_size(given.pixel_size_nm, "--pixel-size-nm")
    check_size(given.settle_s, "--settle-s")
    if given.watch is not None:
        return _watch(given)
    with open_frames(given.file, given.dataset, given.pixel_size_nm) as frames:
        return _send(given, frames, _due_s(given, frames))


def _due_s(given: argparse.Namespace, frames: FileFrames) -> NDArray[np.float64]:
    """When each frame is to be sent, in s after the first."""
    recorded_s = frames.recorded_s
    if given.fps == _RECORDED and recorded_s is None:
        raise InputError(f"--fps {_RECORDED}: {frames.file} is no recording and does not say when its frames came: give a number")
    due_s = recorded_s if given.fps in (None, _RECORDED) and recorded_s is not None else np.arange(len(frames)) / (given.fps or _FPS)
    return due_s / float(given.speed)


def _send(given: argparse.Namespace, frames: FileFrames, due_s: NDArray[np.float64]) -> int:
    """Send frames, each at its time; 0 if all went out."""
    publishers: dict[str, FramePublisher] = {}
    sent, start = 0, time.monotonic()
    try:
        for due, one in zip(track(due_s, "replaying"), frames, strict=True):
            if one.source not in publishers:
                # A replay that was recorded is replayed under the same name.
                publishers[one.source] = _publisher(_PREFIX + one.source.removeprefix(_PREFIX), given)
                start = max(start, time.monotonic() - float(due))
            time.sleep(max(0.0, start + float(due) - time.monotonic()))
            sent += publishers[one.source].publish(one.channels, wait_s=_ROOM_S, **{"t_end": time.time(), **one.about})
        print(f"sent {sent} of {len(frames)} frames, {sum(one.dropped for one in publishers.values())} dropped")
    finally:
        for publisher in publishers.values():
            publisher.close(linger_s=_LINGER_S if sent else 0)
    return 0 if sent == len(frames) else 1


def _watch(given: argparse.Namespace) -> int:
    """Send files as they come, until Ctrl-C or SIGTERM."""
    if not given.watch.is_dir():
        raise InputError(f"there is no folder {given.watch}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    watch = FolderWatch(given.watch, given.settle_s, given.existing)
    publisher = _publisher(_WATCHED + as_text(given.watch.resolve().name), given)
    try:
        print(f"watching {given.watch}, Ctrl-C ends it", flush=True)
        while True:
            for file in watch.finished():
                _send_whole(given, publisher, file)
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        print(f"sent {publisher.sent} frames, {publisher.dropped} dropped")
    finally:
        publisher.close(linger_s=_LINGER_S if publisher.sent else 0)
    return 0 if not publisher.dropped else 1


def _send_whole(given: argparse.Namespace, publisher: FramePublisher, file: Path) -> None:
    """Send what a new file holds; one that can't be read is named, and is tried again when it has changed."""
    name = as_text(file.relative_to(given.watch))
    try:
        written = file.stat().st_mtime
        with open_frames(file, given.dataset, given.pixel_size_nm) as frames:
            start, sent = time.monotonic(), publisher.sent
            for due, one in zip(_due_s(given, frames), frames, strict=True):
                time.sleep(max(0.0, start + float(due) - time.monotonic()))
                about = {"t_end": written, **one.about, "series": name}
                publisher.publish(one.channels, wait_s=_ROOM_S, **{**about, "user": {**about.get("user", {}), "file": name}})
            print(f"{name}: sent {publisher.sent - sent} of {len(frames)} frames", flush=True)
    except BadFrame as error:
        print(f"atomstream: {name} can't be sent: {error}", file=sys.stderr, flush=True)
    except (InputError, OSError) as error:
        print(f"atomstream: {error}", file=sys.stderr, flush=True)


def _publisher(source: str, given: argparse.Namespace) -> FramePublisher:
    publisher = FramePublisher(source, given.to, socket=given.socket, curve=given.curve)
    try:
        if not publisher.wait_for_reader(10):
            raise InputError(f"no service listens at {given.to}")
    except (InputError, KeysRefused):
        publisher.close(linger_s=0)
        raise
    return publisher


def _pace(text: str) -> str | float:
    """--fps: a number, or `recorded`."""
    if text == _RECORDED:
        return text
    try:
        fps = float(text)
    except ValueError:
        fps = math.nan
    if not 0 < fps < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number above 0 nor {_RECORDED!r}")
    return fps
