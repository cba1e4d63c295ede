"""What a report is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Cell = str | int | float | None
"""Text, or a number; None and NaN are shown as a dash."""

_DASH = "–"


@dataclass(frozen=True)
class Figure:
    """A picture.

    data : the file's bytes
    kind : of which format they are
    caption : what it shows, below it
    alt : the same in a few words, for who can't see it
    """

    data: bytes
    kind: Literal["png", "svg"]
    caption: str = ""
    alt: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    columns : their headings
    rows : one cell a column in each
    caption : above it
    folded : whether it opens on a click only; printed, it is always open
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    folded: bool = False

    def numeric(self, column: int) -> bool:
        """Whether a column holds nothing but numbers, which stand flush right."""
        return all(_is_number(cell_text(row[column])) for row in self.rows)


@dataclass(frozen=True)
class Section:
    """A part of a report with a heading of its own.

    text : paragraphs, parted by empty lines
    """

    title: str
    text: str = ""
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()


def cell_text(cell: Cell) -> str:
    """A cell as it is shown."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return _DASH
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(_DASH, "0").removesuffix("%"))
    except ValueError:
        return False
    return True
