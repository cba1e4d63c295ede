from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from rich.progress import track

from atomstream_client import FramePublisher
from atomstream_models.errors import InputError
from atomstream_models.movies import read_movie

from ._commands import Commands
from ._pixel_size import check_size

_ROOM_S = 60.0
"""A file can wait for a service that is behind; a scan could not."""
_LINGER_S = 60.0


def add(commands: Commands) -> None:
    parser = commands.add_parser("replay", help="send the frames of a file", description="Send the frames of a .npy, .npz or TIFF file to a running service.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--to", default="tcp://127.0.0.1:5555", metavar="tcp://HOST:PORT", help="where the service receives frames")
    parser.add_argument("--fps", type=float, default=2.0, help="frames a second (2)")
    parser.add_argument("--pixel-size-nm", type=float, help="pixel size in nm, where the file does not say")
    parser.add_argument("--socket", choices=("pub", "push"), default="pub", help="push for a service that pulls; it waits, so nothing is lost")
    parser.add_argument("--curve", type=Path, metavar="FILE", help="keys from `atomstream keys curve add`, for a service that asks for keys")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    check_size(given.fps, "--fps")
    check_size(given.pixel_size_nm, "--pixel-size-nm")
    images, pixel_nm = read_movie(given.file)
    pixel_nm = given.pixel_size_nm or pixel_nm
    size = None if pixel_nm is None else (pixel_nm, pixel_nm)
    with FramePublisher(f"replay/{given.file.stem}", given.to, socket=given.socket, curve=given.curve) as publisher:
        if not publisher.wait_for_reader(10):
            raise InputError(f"no service listens at {given.to}")
        sent = sum(_paced(publisher, images, size, given.fps))
        print(f"sent {sent} of {len(images)} frames, {publisher.dropped} dropped")
        publisher.close(linger_s=_LINGER_S)
    return 0 if sent == len(images) else 1


def _paced(publisher: FramePublisher, images: NDArray[Any], size: tuple[float, float] | None, fps: float) -> Iterator[bool]:
    start = time.monotonic()
    for k, image in enumerate(track(images, "replaying")):
        time.sleep(max(0.0, start + k / fps - time.monotonic()))
        yield publisher.publish(image, wait_s=_ROOM_S, frame=k, pixel_size=size, t_end=time.time())
