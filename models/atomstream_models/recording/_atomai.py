from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ._recording import Recording

_COLUMNS = (0, 1, 2)


def atomai_coordinates(recording: Recording, frames: Iterable[int] | None = None) -> dict[int, NDArray[np.float64]]:
    """Atoms in the form of AtomAI's `Locator` and `SegPredictor`, for notebooks that go on from there.

    Returns frame -> ndarray, shape (N, 3): row, column, class (a number from 0), in pixels. AtomAI calls these "xy", and counts rows first as well.

    frames : which, by `Recording.numbers`; all by default. One that is not there is a KeyError
    """
    places = {int(number): place for place, number in enumerate(recording.numbers)}
    return {int(k): recording.atoms(places[int(k)])[:, _COLUMNS].astype(np.float64) for k in (places if frames is None else frames)}
