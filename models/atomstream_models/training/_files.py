"""Files that are whole or not there."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ._errors import TrainingFailed


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then put it in its place at once, so that a kill leaves the old one or the new one.

    Raises
    ------
    TrainingFailed
        where the disk is full; what was there before stays.
    """
    part = path.with_name(path.name + ".part")
    with disk_full_said(path):
        try:
            write(part)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: object) -> None:
    """Write tensors in plain containers as torch does, whole; see `write_whole`."""
    # By way of memory, because where a disk is full torch's own writer says anything but that.
    data = io.BytesIO()
    torch.save(tensors, data)
    write_whole(path, lambda part: part.write_bytes(data.getbuffer()))


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `np.save` does, except that where the disk is full the error says so."""
    # np.save writes files by way of `tofile`, whose error there is an OSError without a number.
    array = np.asarray(array, order="C")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    with path.open("wb") as file:
        file.write(head.getvalue())
        file.write(array.data)


@contextmanager
def disk_full_said(path: Path) -> Iterator[None]:
    """Say so where writing fails because there is no room.

    Raises
    ------
    TrainingFailed
        in place of the system's error.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise TrainingFailed(f"no room left to write {path}; make room and start again, training goes on from the last checkpoint") from error
