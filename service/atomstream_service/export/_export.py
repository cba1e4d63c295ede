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


def export(recording: Recording, file: Path, form: Format, places: Sequence[int], pixel_nm: float | None = None) -> Exported:
    """Write the atoms of some frames, which are read one at a time; in the file they are called as in `Recording.numbers`.

    places : of the frames in the recording, counted from 0
    pixel_nm : side of a pixel, in place of what the recording says

    Raises
    ------
    ExtraMissing
        where the format needs a package that isn't installed.
    InputError
        where a frame has no pixel size and the format needs one, or is damaged.
    """
    done, numbers = Exported(), recording.numbers

    def frames() -> Iterator[FrameAtoms]:
        for place in places:
            one = FrameAtoms.of(int(numbers[place]), recording.answer(place), pixel_nm)
            done.frames += 1
            done.atoms += len(one.atoms)
            yield one

    nm = pixel_nm is not None or not np.isnan(recording.pixel_nm[list(places)]).all()
    if form == "csv":
        write_csv(file, frames(), nm)
    elif form == "parquet":
        write_parquet(file, frames(), nm)
    elif form == "atomai":
        write_atomai(file, frames())
    elif form == "hyperspy":
        write_hyperspy(file, recording, places, list(frames()))
    else:
        write_extxyz(file, frames())
    return done
