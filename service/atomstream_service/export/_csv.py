from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path

from ._rows import COLUMNS, NM_COLUMNS, FrameAtoms


def write_csv(file: Path, frames: Iterable[FrameAtoms], nm: bool) -> None:
    """One row an atom, under a line of names; what is unknown is empty."""
    with file.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow((*COLUMNS, *NM_COLUMNS) if nm else COLUMNS)
        for frame in frames:
            rows.writerows(map(_text, row) for row in zip(*frame.columns(nm).values(), strict=True))


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    number = float(value)  # type: ignore[arg-type]
    # A float32 is written with as few digits as tell it from its neighbours.
    return "" if math.isnan(number) else str(int(number)) if number.is_integer() else str(value)
