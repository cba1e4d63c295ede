"""From probability maps to atoms."""

from ._locate import COLUMNS, Located, empty, foreground_of, locate, located
from ._peaks import find_peaks
from ._ready import make_ready

__all__ = ["COLUMNS", "Located", "empty", "find_peaks", "foreground_of", "locate", "located", "make_ready"]
