from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from atomstream_models.recording import Recording

from ._atomai import write_atomai
from ._csv import write_csv
from ._extxyz import write_extxyz
from ._hyperspy import write_hyperspy
from ._parquet import write_parquet
from ._rows import FrameAtoms

Format = Literal["csv", "parquet", "extxyz", "atomai", "hyperspy"]

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "csv": (".csv",),
    "parquet": (".parquet", ".pq"),
    "extxyz": (".extxyz", ".xyz"),
    "atomai": (".npz",),
    "hyperspy": (".hspy",),
}
"""What a file of each format ends in."""


@dataclass
class Exported:
    """How much was exported."""

    frames: int = 0
    atoms: int = 0


def export(
    recording: Recording, file: Path, form: Format, numbers: Sequence[int], pixel_nm: float | None = None, numbered_by: Literal["place", "seq"] = "place"
) -> Exported:
    """Write the atoms of some frames, which are read one at a time.

    numbers : of the frames, counted from 0
    pixel_nm : side of a pixel, in place of what the recording says
    numbered_by : what a frame is called in the file: place = its place in the recording; seq = its own number, which skips frames that were not answered

    Raises
    ------
    ExtraMissing
        where the format needs a package that isn't installed.
    InputError
        where a frame has no pixel size and the format needs one, or is damaged.
    """
    done = Exported()

    def frames() -> Iterator[FrameAtoms]:
        for number in numbers:
            answer = recording.answer(number)
            one = FrameAtoms.of(number if numbered_by == "place" else answer.report.seq, answer, pixel_nm)
            done.frames += 1
            done.atoms += len(one.atoms)
            yield one

    nm = pixel_nm is not None or not np.isnan(recording.pixel_nm[list(numbers)]).all()
    if form == "csv":
        write_csv(file, frames(), nm)
    elif form == "parquet":
        write_parquet(file, frames(), nm)
    elif form == "atomai":
        write_atomai(file, frames())
    elif form == "hyperspy":
        write_hyperspy(file, recording, list(frames()))
    else:
        write_extxyz(file, frames())
    return done
