from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_wire import Frame, FrameReport


@dataclass(frozen=True)
class DriftScores:
    """How far each member stood from the others on one frame.

    members : their ids, the rows
    names : what was scored, the columns
    values : ndarray, shape (members, names), NaN where unknown
    """

    members: tuple[str, ...]
    names: tuple[str, ...]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class RecordedFrame:
    """A frame with its answer, as recordings and the ring of the last frames hold it.

    frame : with the analysed channel alone
    atoms : ndarray, shape (N, 10), float32, columns `atomstream_wire.ATOM_COLUMNS`
    drift : where scores were worked out for this frame
    mean, std : ndarray, shape (classes, rows, columns); None where maps are not kept, or one member was used and std is unknown
    dropped_before : frames that were to be recorded between the one before and this one, and were not
    watched : the watch over drift on this frame, JSON for `atomstream_service.drift.decode_watched`; empty where it was not shown it
    """

    frame: Frame
    report: FrameReport
    atoms: NDArray[np.float32]
    drift: DriftScores | None = None
    mean: NDArray[Any] | None = None
    std: NDArray[Any] | None = None
    dropped_before: int = 0
    watched: bytes = b""

    @classmethod
    def of(
        cls,
        frame: Frame,
        report: FrameReport,
        atoms: NDArray[np.float32],
        *,
        drift: DriftScores | None = None,
        mean: NDArray[Any] | None = None,
        std: NDArray[Any] | None = None,
    ) -> RecordedFrame:
        """The same with the frame's other channels left out; no array is copied."""
        name = report.channel
        if len(frame.channels) > 1:
            frame = replace(frame, channels={name: frame.channels[name]}, units={key: unit for key, unit in frame.units.items() if key == name})
        return cls(frame, report, atoms, drift, mean, std)

    @property
    def image(self) -> NDArray[Any]:
        """The analysed channel, shape (rows, columns), in the instrument's own type."""
        return self.frame.channels[self.report.channel]

    @property
    def nbytes(self) -> int:
        """Bytes of all that it holds."""
        return self.image.nbytes + self.atoms.nbytes + len(self.watched) + sum(one.nbytes for one in (self.mean, self.std) if one is not None)
