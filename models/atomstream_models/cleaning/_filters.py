"""Filters on what the ensemble says of each atom."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..locate import COLUMNS

_STD = COLUMNS.index("p_std")
_VOTES = COLUMNS.index("votes")


def high_std(atoms: NDArray[np.floating], *, most: float | None = None, quantile: float | None = None) -> NDArray[np.bool_]:
    """Which atoms the members disagree on: p_std above `most`, or among the atoms' highest beyond `quantile`; shape (N,).

    Robust features are those of low variance between the members (Ghosh et al. 2021, single-image case). An atom whose
    p_std is unknown is not high.

    atoms : ndarray, shape (N, 10), columns of `locate.COLUMNS`
    most : largest p_std that is still fine
    quantile : share of the atoms that is kept, 0 to 1

    Raises
    ------
    InputError
        unless exactly one of the two is given, in its range.
    """
    if (most is None) == (quantile is None):
        raise InputError("give either the largest p_std (most) or the share of atoms to keep (quantile)")
    std = atoms[:, _STD]
    if quantile is not None:
        if not 0 < quantile <= 1:
            raise InputError(f"quantile = {quantile:g} is not between 0 and 1")
        known = std[np.isfinite(std)]
        return _above(std, float(np.quantile(known, quantile)) if len(known) else np.inf)
    if most is None or not most >= 0:
        raise InputError(f"most = {most} is not 0 or more")
    return _above(std, most)


def _above(std: NDArray[np.floating], most: float) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        high: NDArray[np.bool_] = std > most
    return high


def low_votes(atoms: NDArray[np.floating], least: int) -> NDArray[np.bool_]:
    """Which atoms fewer than `least` members see themselves; shape (N,).

    atoms : ndarray, shape (N, 10), columns of `locate.COLUMNS`
    """
    few: NDArray[np.bool_] = atoms[:, _VOTES] < least
    return few
