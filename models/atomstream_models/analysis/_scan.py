"""A scan that still runs, seen by the members strip by strip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..bundle import Card
from ..normalize import Scaling
from ._infer import Outputs


class StripRun(Protocol):
    """Members on the way down a frame."""

    def feed(self, strip: NDArray[np.float32]) -> None:
        """Take the next rows, (1, 1, strip rows, columns)."""
        ...

    def finish(self, strip: NDArray[np.float32]) -> Outputs:
        """Take the last rows, at most a strip's, and answer."""
        ...


class StripMembers(Protocol):
    """Members that can look at a frame in strips, `strip_rows` high each."""

    strip_rows: int

    def begin(self, members: Sequence[str], rows: int, columns: int) -> StripRun:
        """Start at a frame's top; its sides are multiples of what the members take."""
        ...

    def close(self) -> None:
        """Give back all memory."""
        ...


class RunningScan:
    """One scan: its rows go to the members as they arrive, so that little is left to do after the last one.

    The rows are normalised as the frame before was, because this frame's own scaling is known only in the end. Whether that was right,
    and whether the rows have stayed what they were, is asked then (`answer`).

    members : who looks at it
    shape : (rows, columns) of the frame
    scaling : of the frame before
    """

    def __init__(self, strips: StripMembers, card: Card, members: Sequence[str], shape: tuple[int, int], scaling: Scaling) -> None:
        self.members = tuple(members)
        self.scaling = scaling
        self.rows_seen = 0
        rows, columns = (-(-side // card.downsample) * card.downsample for side in shape)
        self._strip_rows = strips.strip_rows
        self._seen = np.empty((1, 1, rows, columns), np.float32)
        self._run = strips.begin(members, rows, columns)

    def advance(self, image: NDArray[Any], rows: int) -> None:
        """Show the members what is new among the first `rows` rows of the frame, as far as it makes whole strips.

        Raises
        ------
        MemberFailed
            when a member's session fails.
        """
        rows = min(rows, len(image))
        while self.rows_seen + self._strip_rows <= rows:
            part = slice(self.rows_seen, self.rows_seen + self._strip_rows)
            strip = self.scaling(image[part])
            right = self._seen.shape[3] - strip.shape[1]
            self._feed(np.pad(strip, ((0, 0), (0, right)), "reflect") if right else strip)

    def answer(self, tensor: NDArray[np.float32], members: Sequence[str]) -> Outputs | None:
        """What some of the members answer to the complete frame (1, 1, H, W); None where that is not the frame they have been seeing, or they have not."""
        if tensor.shape != self._seen.shape or not set(members) <= set(self.members):
            return None
        if not np.array_equal(tensor[:, :, : self.rows_seen], self._seen[:, :, : self.rows_seen]):
            return None
        while self.rows_seen + self._strip_rows < tensor.shape[2]:
            self._feed(tensor[0, 0, self.rows_seen : self.rows_seen + self._strip_rows])
        found = dict(zip(self.members, self._run.finish(tensor[:, :, self.rows_seen :]).maps, strict=True))
        return Outputs([found[member] for member in members])

    def _feed(self, strip: NDArray[np.float32]) -> None:
        end = self.rows_seen + self._strip_rows
        self._seen[0, 0, self.rows_seen : end] = strip
        self._run.feed(np.ascontiguousarray(strip)[None, None])
        self.rows_seen = end
