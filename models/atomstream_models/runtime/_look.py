"""A loaded ensemble looks at frames, one after the other, outside the live stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from ..analysis import Inferred, infer, prepare
from ._ensemble import LoadedEnsemble


def look(ensemble: LoadedEnsemble, frames: Iterable[NDArray[Any]], pixel_nm: float | None, members: Sequence[str] | None = None) -> Iterator[Inferred]:
    """What the ensemble's members say of each frame, the very numbers of the live service; `analysis.finish` locates the atoms in it.

    frames : arrays (rows, columns)
    pixel_nm : their pixel size in nm, None where it is unknown
    members : ids of the members to run, all by default

    Raises
    ------
    FrameRefused
        for a frame that can't be processed.
    MemberFailed
        when a member fails.
    """
    chosen = ensemble.card.member_ids if members is None else tuple(members)
    size = None if pixel_nm is None else (pixel_nm, pixel_nm)
    for frame in frames:
        yield infer(prepare(frame, size, ensemble.card), ensemble.card, chosen, ensemble.answer)
