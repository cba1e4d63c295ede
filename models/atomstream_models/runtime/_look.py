"""A loaded ensemble looks at frames outside the live stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from numpy.typing import NDArray

from ..ahead import ahead
from ..analysis import FrameRefused, Inferred, infer, prepare
from ._ensemble import LoadedEnsemble

_MOST_BYTES = 1 << 30
_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Shown:
    """A frame to look at.

    image : ndarray, shape (rows, columns)
    pixel_nm : (y, x) of a pixel; None where it is unknown
    valid_rows : rows (first, one past last) that hold data; None for all
    """

    image: NDArray[Any]
    pixel_nm: tuple[float, float] | None = None
    valid_rows: tuple[int, int] | None = None


def look(ensemble: LoadedEnsemble, frames: Iterable[NDArray[Any]], pixel_nm: float | None, members: Sequence[str] | None = None) -> Iterator[Inferred]:
    """What the ensemble's members say of each frame, the very numbers of the live service; `analysis.finish` locates the atoms in it.

    While one frame is being judged, members run on the next ones: as many frames as keep all processors busy and fit into a gigabyte.

    frames : arrays (rows, columns)
    pixel_nm : their pixel size in nm, None where it is unknown
    members : ids of the members to run, all by default

    Raises
    ------
    FrameRefused
        for a frame that can't be processed, in its turn.
    MemberFailed
        when a member fails.
    """
    size = None if pixel_nm is None else (pixel_nm, pixel_nm)
    for outcome in look_at_all(ensemble, (Shown(frame, size) for frame in frames), members):
        if isinstance(outcome, FrameRefused):
            raise outcome
        yield outcome


def look_at_all(ensemble: LoadedEnsemble, frames: Iterable[Shown], members: Sequence[str] | None = None) -> Iterator[Inferred | FrameRefused]:
    """As `look`, but frames may differ in pixel size, and one that can't be processed yields why not in the place of an answer.

    Raises
    ------
    MemberFailed
        when a member fails.
    """
    chosen = ensemble.card.member_ids if members is None else tuple(members)

    def one(frame: Shown) -> Inferred | FrameRefused:
        try:
            prepared = prepare(frame.image, frame.pixel_nm, ensemble.card, valid_rows=frame.valid_rows)
        except FrameRefused as error:
            return error
        return infer(prepared, ensemble.card, chosen, ensemble.answer)

    coming = iter(frames)
    first = next(coming, None)
    if first is not None:
        maps_bytes = _FLOAT32_BYTES * first.image.size * ensemble.card.channels * (len(chosen) + 2)
        at_once = min(ensemble.members.frames_at_once(len(chosen)), max(1, _MOST_BYTES // maps_bytes))
        yield from ahead(one, chain([first], coming), at_once)
