from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from atomstream_wire import ATOM_COLUMNS, Atoms

if TYPE_CHECKING:  # NumPy before 1.21 has no NDArray, and old instruments come with such a NumPy
    from numpy.typing import NDArray

_CLASS, _P_STD, _VOTES, _SIGMA_Y, _SIGMA_X = (ATOM_COLUMNS.index(name) for name in ("class", "p_std", "votes", "sigma_y", "sigma_x"))
_GREATEST_STD = 0.5
"""Of numbers between 0 and 1."""


def doubts(result: Atoms, tolerance_nm: float) -> NDArray[np.float64]:
    """What speaks against each atom of a result, shape (N,), from 0 (all members agree) to 3.

    The sum of three shares, each between 0 and 1, because each asks something that the others don't:

    - is it there? The share of the members used that see no atom there themselves (`votes`).
    - is it what it is said to be? The members' spread in its probability, as a share of the greatest possible, 0.5 (`p_std`).
    - is it where it is said to be? The members' spread in its place, as a share of the tolerance (`sigma_y`, `sigma_x`).

    What is unknown, because a single member sees the atom, counts as 1.

    tolerance_nm : how far beside an atom the beam may be

    Raises
    ------
    ValueError
        where the result has no pixel size, or the tolerance is not positive.
    """
    size = result.report.pixel_size
    if size is None or result.report.pixel_unit != "nm":
        raise ValueError("frame {} has no pixel size in nm".format(result.report.seq))
    if not tolerance_nm > 0:
        raise ValueError("tolerance_nm = {!r} is not positive".format(tolerance_nm))
    atoms = np.asarray(result.atoms, np.float64)
    unseen = 1 - atoms[:, _VOTES] / max(1, len(result.report.members_used))
    spread_nm = np.hypot(atoms[:, _SIGMA_Y] * size[0], atoms[:, _SIGMA_X] * size[1])
    terms = np.stack([unseen, atoms[:, _P_STD] / _GREATEST_STD, spread_nm / tolerance_nm])
    return np.asarray(np.clip(np.nan_to_num(terms, nan=1.0), 0, 1).sum(axis=0))


def surest(result: Atoms, kind: str, tolerance_nm: float) -> NDArray[np.int64]:
    """Rows of a result's atoms that are of a class, in the order of their `doubts`, the surest first.

    kind : name of the class

    Raises
    ------
    ValueError
        where the ensemble has no such class, or `doubts` does.
    """
    classes = result.report.classes
    if kind not in classes:
        raise ValueError("{!r} is none of the classes {}".format(kind, ", ".join(classes)))
    rows = np.flatnonzero(result.atoms[:, _CLASS] == classes.index(kind))
    return np.asarray(rows[np.argsort(doubts(result, tolerance_nm)[rows], kind="stable")], np.int64)
