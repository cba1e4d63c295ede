"""What an ensemble answers to a frame, kept for accepting it elsewhere."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ..analysis import finish
from ..bundle import GoldenFrame
from ._ensemble import LoadedEnsemble
from ._look import look


def golden_of(frame: NDArray[Any], pixel_nm: float | None, ensemble: LoadedEnsemble) -> GoldenFrame:
    """The golden frame of a frame (rows, columns): all members' answer to it.

    pixel_nm : its pixel size in nm, None where it is unknown

    Raises
    ------
    FrameRefused
        for a frame that can't be processed.
    MemberFailed
        when a member fails.
    """
    (inferred,) = look(ensemble, [frame], pixel_nm)
    answer = finish(inferred, ensemble.card)
    return GoldenFrame(frame, pixel_nm, answer.mean, answer.std, len(answer.atoms))
