from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ._flat import flat
from ._movie import Raw, UnreadableFile

_HEADER = 1024
_NM_PER_A = 0.1
_TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_IMOD, _SIGNED_BYTES = 1146047817, 1
"""The stamp of IMOD and SerialEM, and the flag behind it without which their bytes count from 0 (IMOD's mrc_format.txt)."""


def open_mrc(file: Path) -> Raw:
    """An image or a stack of images in MRC2014 (Cheng et al., J. Struct. Biol. 192, 146 (2015)), either byte order; sections are frames."""
    with file.open("rb") as data:
        head = data.read(_HEADER)
    if len(head) < _HEADER or head[208:212].rstrip(b"\0 ") != b"MAP":
        raise UnreadableFile(f"{file} is not an MRC file")
    order = ">" if head[212:214] == b"\x11\x11" else "<"
    numbers, lengths = np.frombuffer(head, f"{order}i4"), np.frombuffer(head, f"{order}f4")
    columns, rows, sections, mode = (int(one) for one in numbers[:4])
    if mode not in _TYPES:
        raise UnreadableFile(f"{file} holds values of mode {mode}, not one of {', '.join(map(str, _TYPES))}")
    unsigned = mode == 0 and numbers[38] == _IMOD and not numbers[39] & _SIGNED_BYTES
    if min(columns, rows, sections) < 1:
        raise UnreadableFile(f"{file} says that it holds {sections} frames of {rows}x{columns} pixels")
    dtype, start = np.dtype("u1" if unsigned else f"{order}{_TYPES[mode]}"), _HEADER + max(0, int(numbers[23]))
    return flat(file, start, (sections, rows, columns), dtype, _pixel_nm(lengths[10:12], numbers[7:9]))


def _pixel_nm(cell_a: Any, samples: Any) -> tuple[float, float] | None:
    """The cell (x, y) in Å over its samples; None where the header has none."""
    if min(samples) < 1 or not (np.isfinite(cell_a).all() and min(cell_a) > 0):
        return None
    x, y = (float(one) for one in _NM_PER_A * cell_a.astype(np.float64) / samples)
    return y, x
