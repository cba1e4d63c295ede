from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ._recording import Recording

_COLUMNS = (0, 1, 2)


def atomai_coordinates(recording: Recording, frames: Iterable[int] | None = None) -> dict[int, NDArray[np.float64]]:
    """Atoms in the form of AtomAI's `Locator` and `SegPredictor`, for notebooks that go on from there.

    Returns frame -> ndarray, shape (N, 3): row, column, class (a number from 0), in pixels. AtomAI calls these "xy", and counts rows first as well.

    frames : which, counted from 0; all by default
    """
    wanted = range(len(recording)) if frames is None else frames
    return {int(k): recording.atoms(k)[:, _COLUMNS].astype(np.float64) for k in wanted}
