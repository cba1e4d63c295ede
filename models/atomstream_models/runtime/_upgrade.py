"""A better way to run members that takes minutes to make ready."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ._ways import Members, Way


class BuiltMembers(Members, Protocol):
    """Members that answer frames of those sizes alone that they were built for."""

    def build(self, shape: tuple[int, int], stop: threading.Event) -> None:
        """Make all members ready for frames (rows, columns); may be called beside the thread that runs them on frames of other sizes.

        Raises
        ------
        Abandoned
            where `stop` is set before it is done.
        LoadError
            where that can't be.
        """
        ...


@dataclass(frozen=True)
class Upgrade(Way):
    """A way whose members have to be built for each frame size.

    instead_of : the device of the ways that it is better than
    """

    open: Callable[[Mapping[str, Path], int | None], BuiltMembers]
    instead_of: Literal["cpu", "cuda"] = "cuda"
