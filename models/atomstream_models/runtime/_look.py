"""A loaded ensemble looks at frames outside the live stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from numpy.typing import NDArray

from ..ahead import ahead
from ..analysis import Inferred, infer, prepare
from ._ensemble import LoadedEnsemble

_MOST_BYTES = 1 << 30
_FLOAT32_BYTES = 4


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
    chosen = ensemble.card.member_ids if members is None else tuple(members)
    size = None if pixel_nm is None else (pixel_nm, pixel_nm)

    def one(frame: NDArray[Any]) -> Inferred:
        return infer(prepare(frame, size, ensemble.card), ensemble.card, chosen, ensemble.answer)

    coming = iter(frames)
    first = next(coming, None)
    if first is not None:
        maps_bytes = _FLOAT32_BYTES * first.size * ensemble.card.channels * (len(chosen) + 2)
        at_once = min(ensemble.members.frames_at_once(len(chosen)), max(1, _MOST_BYTES // maps_bytes))
        yield from ahead(one, chain([first], coming), at_once)
