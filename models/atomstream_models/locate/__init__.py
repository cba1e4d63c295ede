"""From probability maps to atoms."""

from ._locate import COLUMNS, empty, foreground_of, locate
from ._peaks import find_peaks
from ._ready import make_ready

__all__ = ["COLUMNS", "empty", "find_peaks", "foreground_of", "locate", "make_ready"]
