"""Atoms of one frame as named columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.lengths import pixel_size_in_nm
from atomstream_wire import ATOM_COLUMNS, Atoms, FrameReport

COLUMNS = ("frame", *ATOM_COLUMNS)
NM_COLUMNS = ("y_nm", "x_nm")
WHOLE = ("frame", "votes", "id")
"""Columns of whole numbers."""


@dataclass(frozen=True)
class FrameAtoms:
    """The atoms of a frame.

    number : of the frame
    pixel_nm : (y, x) of a pixel; None where it is unknown
    """

    number: int
    report: FrameReport
    atoms: NDArray[np.float32]
    pixel_nm: tuple[float, float] | None

    @classmethod
    def of(cls, number: int, answer: Atoms, pixel_nm: float | None) -> FrameAtoms:
        """pixel_nm : in place of what the frame says"""
        report = answer.report
        size = pixel_size_in_nm(report.pixel_size, report.pixel_unit) if pixel_nm is None else (pixel_nm, pixel_nm)
        return cls(number, report, answer.atoms, size)

    @property
    def classes(self) -> list[str]:
        """Each atom's class by name."""
        return [self.report.classes[int(k)] for k in self.atoms[:, ATOM_COLUMNS.index("class")]]

    @property
    def positions_nm(self) -> NDArray[np.float64]:
        """(y, x) of each atom, NaN where the pixel size is unknown."""
        yx = self.atoms[:, :2].astype(np.float64)
        return yx * ((np.nan, np.nan) if self.pixel_nm is None else self.pixel_nm)

    def columns(self, nm: bool) -> Mapping[str, Any]:
        """Column -> its values; positions in nm where `nm` is set."""
        named: dict[str, Any] = {"frame": np.full(len(self.atoms), self.number, np.int64)}
        for k, name in enumerate(ATOM_COLUMNS):
            named[name] = self.classes if name == "class" else self.atoms[:, k].astype(np.int64) if name in WHOLE else self.atoms[:, k]
        if nm:
            named.update(zip(NM_COLUMNS, self.positions_nm.T, strict=True))
        return named
