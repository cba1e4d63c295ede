from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from atomstream_client import FramePublisher, KeysRefused
from atomstream_models.errors import InputError
from atomstream_models.movies import UnreadableFile, read_movie
from atomstream_models.recording import HDF5_SUFFIXES, ImageStack, Recording, is_recording, open_images, open_recording
from atomstream_wire import Frame

from ._commands import Commands
from ._pixel_size import check_size

_ROOM_S = 60.0
"""A file can wait for a service that is behind; a scan could not."""
_LINGER_S = 60.0
_FPS = 2.0
_RECORDED = "recorded"
_PREFIX = "replay/"
_NEW_EACH_TIME = ("channels", "session", "seq", "source", "t_send")
"""What a frame that is sent once more can't have as it had it the first time."""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "replay",
        help="send the frames of a file",
        description="Send the frames of a recording, or of a .npy, .npz, TIFF or HDF5 file, to a running service. A recording's frames are sent with the "
        "headers that they came with, from the source replay/SOURCE.",
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--to", default="tcp://127.0.0.1:5555", metavar="tcp://HOST:PORT", help="where the service receives frames")
    parser.add_argument("--fps", type=_pace, metavar="F|recorded", help=f"frames a second, or as recorded (recordings: recorded, else {_FPS:g})")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="so many times as fast (1)")
    parser.add_argument("--dataset", metavar="PATH", help="which array of an HDF5 file that has several")
    parser.add_argument("--pixel-size-nm", type=float, help="pixel size in nm, where the file does not say")
    parser.add_argument("--socket", choices=("pub", "push"), default="pub", help="push for a service that pulls; it waits, so nothing is lost")
    parser.add_argument("--curve", type=Path, metavar="FILE", help="keys from `atomstream keys curve add`, for a service that asks for keys")
    parser.set_defaults(run=_run)


@dataclass(frozen=True)
class _Replayed:
    """One frame to send.

    source : whom it came from
    channels : name -> pixels
    about : what else its header says
    """

    source: str
    channels: dict[str, NDArray[Any]]
    about: dict[str, Any]


def _run(given: argparse.Namespace) -> int:
    check_size(given.speed, "--speed")
    check_size(given.pixel_size_nm, "--pixel-size-nm")
    with ExitStack() as stack:
        frames, recorded_s = _opened(given, stack)
        if given.fps == _RECORDED and recorded_s is None:
            raise InputError(f"--fps {_RECORDED}: {given.file} is no recording and does not say when its frames came: give a number")
        if given.fps in (None, _RECORDED) and recorded_s is not None:
            due_s = recorded_s
        else:
            due_s = np.arange(len(frames)) / (given.fps or _FPS)
        return _send(given, frames, due_s / given.speed)


def _send(given: argparse.Namespace, frames: _Frames, due_s: NDArray[np.float64]) -> int:
    """Send frames, each at its time; 0 if all went out."""
    publishers: dict[str, FramePublisher] = {}
    sent, start = 0, time.monotonic()
    try:
        for due, one in zip(track(due_s, "replaying"), frames, strict=True):
            if one.source not in publishers:
                publishers[one.source] = _publisher(one.source, given)
                start = max(start, time.monotonic() - float(due))
            time.sleep(max(0.0, start + float(due) - time.monotonic()))
            sent += publishers[one.source].publish(one.channels, wait_s=_ROOM_S, **one.about)
        print(f"sent {sent} of {len(frames)} frames, {sum(one.dropped for one in publishers.values())} dropped")
    finally:
        for publisher in publishers.values():
            publisher.close(linger_s=_LINGER_S if sent else 0)
    return 0 if sent == len(frames) else 1


def _publisher(source: str, given: argparse.Namespace) -> FramePublisher:
    # A replay that was recorded is replayed under the same name.
    publisher = FramePublisher(_PREFIX + source.removeprefix(_PREFIX), given.to, socket=given.socket, curve=given.curve)
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


class _Frames:
    """Frames of a file, read when they are sent."""

    def __init__(self, source: Recording | ImageStack | NDArray[Any], name: str, pixel_size: tuple[float, float] | None) -> None:
        self._source = source
        self._name = name
        self._pixel_size = pixel_size

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[_Replayed]:
        if isinstance(self._source, Recording):
            for item in self._source:
                yield self._as_it_came(item.frame)
        else:
            for k, image in enumerate(self._source):
                yield _Replayed(self._name, {"image": _sendable(image)}, {"frame": k, "pixel_size": self._pixel_size, "t_end": time.time()})

    def _as_it_came(self, frame: Frame) -> _Replayed:
        about = {field.name: getattr(frame, field.name) for field in fields(Frame) if field.name not in _NEW_EACH_TIME}
        if self._pixel_size is not None:
            about.update(pixel_size=self._pixel_size, pixel_unit="nm")
        return _Replayed(frame.source, dict(frame.channels), about)


def _sendable(image: NDArray[Any]) -> NDArray[Any]:
    """Types that HDF5 files have and frames don't, where nothing is lost by changing them."""
    if image.dtype.kind == "b":
        return image.astype(np.uint8)
    return image.astype(np.float32) if image.dtype == np.float16 else image


def _opened(given: argparse.Namespace, stack: ExitStack) -> tuple[_Frames, NDArray[np.float64] | None]:
    """The frames, and the seconds after the first at which each came, where that is known."""
    file, given_nm = given.file, given.pixel_size_nm
    size = None if given_nm is None else (given_nm, given_nm)
    if file.suffix.lower() not in HDF5_SUFFIXES:
        if given.dataset is not None:
            raise InputError(f"--dataset is about HDF5 files; {file} is none")
        images, pixel_nm = read_movie(file)
        return _Frames(images, file.stem, size or (None if pixel_nm is None else (pixel_nm, pixel_nm))), None
    if given.dataset is None and is_recording(file):
        recording = stack.enter_context(open_recording(file))
        if not len(recording):
            raise InputError(f"{file} holds no frame")
        return _Frames(recording, file.stem, size), recording.t_recv - recording.t_recv[0]
    try:
        images_in_file = open_images(file, given.dataset)
    except OSError as error:
        raise UnreadableFile(f"{file} can't be read: {error.strerror or error}") from error
    stack.callback(images_in_file.close)
    pixel_nm = images_in_file.pixel_nm
    return _Frames(images_in_file, file.stem, size or (None if pixel_nm is None else (pixel_nm, pixel_nm))), None
