"""Numbers as a report shows them."""

from __future__ import annotations

import numpy as np

from ._parts import Cell


def share(value: float | None) -> Cell:
    """A number between 0 and 1 with four digits; a dash where it is unknown."""
    return fixed(value, 4)


def fixed(value: float | None, digits: int) -> Cell:
    """A number with so many digits; a dash where it is unknown."""
    return None if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def counted(number: int, what: str) -> str:
    """A number of things: `1 frame`, `2 frames`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
