from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ._rows import FrameAtoms


def write_atomai(file: Path, frames: Iterable[FrameAtoms]) -> None:
    """An array a frame, named after its number: (N, 3), float64, row, column, class. No pickle, unlike a saved dictionary."""
    with file.open("wb") as out:
        np.savez_compressed(out, **{str(one.number): one.atoms[:, :3].astype(np.float64) for one in frames})  # type: ignore[arg-type]
