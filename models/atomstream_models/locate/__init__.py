"""From probability maps to atoms."""

from ._locate import COLUMNS, empty, locate

__all__ = ["COLUMNS", "empty", "locate"]
