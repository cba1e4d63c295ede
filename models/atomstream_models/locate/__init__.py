"""From probability maps to atoms."""

from ._locate import COLUMNS, empty, locate
from ._peaks import find_peaks

__all__ = ["COLUMNS", "empty", "find_peaks", "locate"]
