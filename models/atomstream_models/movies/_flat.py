from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._movie import Raw, UnreadableFile


def flat(file: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], pixel_nm: tuple[float, float] | None = None) -> Raw:
    """Frames that lie one after another in a file, from `offset` on.

    They are read rather than mapped into memory: a file that is cut off while it is mapped ends the process, and mapped pages count as the process's own.
    """
    needed, size = offset + math.prod(shape) * dtype.itemsize, file.stat().st_size
    if size < needed:
        raise UnreadableFile(f"{file} is cut short: it has {size} bytes, and {list(shape)} pixels of {dtype} need {needed}")
    pixels = math.prod(shape[-2:])
    data = file.open("rb", buffering=0)

    def read(number: int) -> NDArray[Any]:
        data.seek(offset + number * pixels * dtype.itemsize)
        return np.fromfile(data, dtype, pixels).reshape(shape[-2:])

    return Raw(shape, dtype, read, pixel_nm, data.close)
