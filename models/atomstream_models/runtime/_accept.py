"""Whether a bundle gives, on this machine, what its maker got."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..analysis import FrameRefused, MemberFailed, finish, infer, prepare
from ..bundle import BundleError
from ._ensemble import LoadedEnsemble


@dataclass(frozen=True)
class Tolerance:
    """Largest difference of a golden frame's maps (probability) and of its number of atoms (share)."""

    mean: float = 3e-3
    std: float = 3e-3
    atoms: float = 0.005


def accept(ensemble: LoadedEnsemble, tolerance: Tolerance | None = None) -> None:
    """Run the golden frames with all members.

    Raises
    ------
    BundleError
        check `acceptance`, with the golden frame and the number that was off.
    """
    allowed = tolerance or Tolerance()
    for entry, golden in zip(ensemble.card.golden, ensemble.bundle.golden(), strict=True):
        size = golden.pixel_size_nm
        try:
            prepared = prepare(golden.frame, None if size is None else (size, size), ensemble.card)
            answer = finish(infer(prepared, ensemble.card, ensemble.card.member_ids, ensemble.run), ensemble.card)
        except (FrameRefused, MemberFailed) as error:
            raise BundleError("acceptance", f"{entry.file} can't be answered: {error}") from error
        _compare(entry.file, "mean", answer.mean, golden.mean, allowed.mean)
        if (answer.std is None) != (golden.std is None):
            raise BundleError("acceptance", f"{entry.file}: one of the two answers has no std map")
        if answer.std is not None and golden.std is not None:
            _compare(entry.file, "std", answer.std, golden.std, allowed.std)
        if abs(len(answer.atoms) - golden.atoms) > allowed.atoms * golden.atoms:
            raise BundleError("acceptance", f"{entry.file}: {len(answer.atoms)} atoms found, the bundle's maker found {golden.atoms}")


def _compare(file: str, what: str, got: np.ndarray, wanted: np.ndarray, allowed: float) -> None:
    worst = float(np.abs(got - wanted).max())
    if not worst <= allowed:
        raise BundleError("acceptance", f"{file}: the {what} map is off by {worst:.2g}, at most {allowed:g} is allowed")
