from __future__ import annotations

import argparse
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from rich.progress import track

from atomstream_client import FramePublisher

from ..errors import AtomstreamError
from ._commands import Commands

_ROOM_S = 60.0
"""A file can wait for a service that is behind; a scan could not."""
_LINGER_S = 60.0
_NAMES = ("images", "image", "frames", "frame")


class UnreadableFile(AtomstreamError):
    """A file that holds no frames that can be read."""


def add(commands: Commands) -> None:
    parser = commands.add_parser("replay", help="send the frames of a file", description="Send the frames of a .npy, .npz or TIFF file to a running service.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--to", default="tcp://127.0.0.1:5555", metavar="tcp://HOST:PORT", help="where the service receives frames")
    parser.add_argument("--fps", type=float, default=2.0, help="frames a second (2)")
    parser.add_argument("--pixel-size-nm", type=float, help="pixel size in nm, where the file does not say")
    parser.add_argument("--socket", choices=("pub", "push"), default="pub", help="push for a service that pulls; it waits, so nothing is lost")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    if given.fps <= 0 or (given.pixel_size_nm is not None and given.pixel_size_nm <= 0):
        raise UnreadableFile("--fps and --pixel-size-nm must be above 0")
    images, pixel_nm = read_movie(given.file)
    pixel_nm = given.pixel_size_nm or pixel_nm
    size = None if pixel_nm is None else (pixel_nm, pixel_nm)
    with FramePublisher(f"replay/{given.file.stem}", given.to, socket=given.socket) as publisher:
        if not publisher.wait_for_reader(10):
            raise UnreadableFile(f"no service listens at {given.to}")
        sent = sum(_paced(publisher, images, size, given.fps))
        print(f"sent {sent} of {len(images)} frames, {publisher.dropped} dropped")
        publisher.close(linger_s=_LINGER_S)
    return 0 if sent == len(images) else 1


def _paced(publisher: FramePublisher, images: NDArray[Any], size: tuple[float, float] | None, fps: float) -> Iterator[bool]:
    start = time.monotonic()
    for k, image in enumerate(track(images, "replaying")):
        time.sleep(max(0.0, start + k / fps - time.monotonic()))
        yield publisher.publish(image, wait_s=_ROOM_S, frame=k, pixel_size=size, t_end=time.time())


def read_movie(file: Path) -> tuple[NDArray[Any], float | None]:
    """The frames in a file, shape (frames, rows, columns), and their pixel size in nm where the file says.

    Raises
    ------
    UnreadableFile
        naming what is wrong with the file.
    """
    pixel_nm, kind = None, file.suffix.lower()
    try:
        if kind == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                name = next((name for name in _NAMES if name in arrays.files), None)
                if name is None:
                    raise UnreadableFile(f"{file} holds {', '.join(arrays.files)}; name the frames 'images'")
                images = arrays[name]
                pixel_nm = float(arrays["pixel_size_nm"]) if "pixel_size_nm" in arrays.files else None
        elif kind == ".npy":
            images = np.load(file, allow_pickle=False)
        elif kind in (".tif", ".tiff"):
            images = _read_tiff(file)
        else:
            raise UnreadableFile(f"{file} is not a .npy, .npz or TIFF file")
    except (OSError, ValueError, EOFError, LookupError, TypeError, MemoryError, zipfile.BadZipFile, zlib.error, tifffile.TiffFileError) as error:
        raise UnreadableFile(f"{file} can't be read: {error}") from error
    images = images[None] if images.ndim == 2 else images
    if images.ndim != 3 or 0 in images.shape:
        raise UnreadableFile(f"{file} holds an array of shape {list(images.shape)}, not frames (frames, rows, columns)")
    return images, pixel_nm


def _read_tiff(file: Path) -> NDArray[Any]:
    with tifffile.TiffFile(file) as tiff:
        series = tiff.series[0]
        if "S" in series.axes:
            raise UnreadableFile(f"{file} holds colour images, not frames")
        return np.asarray(series.asarray())
