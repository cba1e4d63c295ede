"""Which atom of a frame is which atom of the frames before."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from atomstream_models.metrics import match
from atomstream_models.neighbours import neighbour_px

from ..config import TrackSettings
from ._shift import common_shift

log = logging.getLogger(__name__)

MOST_IDS = 1 << 24
"""Ids run from 0 to below this: whole numbers that float32 holds exactly."""
_MOST_STREAMS = 256
_MOST_CANDIDATES = 4.0
"""Candidates that an atom may have on average; with more of them the distance allowed says nothing about who is who, and costs time."""
_NO_NEIGHBOUR_PX = 5.0
_NARROWER = 0.7
_ID = 9


@dataclass(frozen=True)
class Scene:
    """What has to stay the same for tracks to go on.

    pixel_size_nm : (y, x), None where it is unknown
    """

    source: str
    channel: str
    session: str
    shape: tuple[int, int]
    pixel_size_nm: tuple[float, float] | None


@dataclass(frozen=True)
class TrackSummary:
    """Counts since the start.

    started : tracks begun
    open : tracks that could go on in the next frame
    narrowed : frames so crowded for the distance allowed that atoms were linked over a shorter one
    restarted : times that a stream's ids were used up and began again at 0
    """

    started: int
    open: int
    narrowed: int
    restarted: int


@dataclass
class _Stream:
    """The tracks of one source and channel.

    positions, ids, unseen : atoms that can go on: where they are expected (in nm, or pixels where the size is unknown), their ids, and for how many
        frames they have not been seen
    neighbour : distance between neighbours, in the same unit
    next_id : the next id to give
    """

    scene: Scene
    next_id: int = 0
    neighbour: float = float("nan")
    positions: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    unseen: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


class TrackLinker:
    """Gives each atom of a stream an id that it keeps from frame to frame; used from one thread, frames in order.

    As many atoms as possible are linked, of those choices the one with the smallest summed distance: a linear assignment between two frames
    as in Jaqaman et al., Nature Methods 5:695 (2008), solved exactly. The motion that all atoms share is taken off first.

    An id is used once within a source and channel. A new session, shape or pixel size begins new tracks, with new ids. Where 2^24 ids are used up
    (float32 holds no more), all tracks of that source and channel end, and numbering begins again at 0; the log says so.

    settings : how far an atom may move and how long it may be out of sight; its `enabled` is for the caller
    """

    def __init__(self, settings: TrackSettings, most_ids: int = MOST_IDS) -> None:
        self._settings = settings
        self._most_ids = most_ids
        self._streams: OrderedDict[tuple[str, str], _Stream] = OrderedDict()
        self._started = 0
        self._narrowed = 0
        self._restarted = 0

    @property
    def summary(self) -> TrackSummary:
        return TrackSummary(self._started, sum(len(one.ids) for one in list(self._streams.values())), self._narrowed, self._restarted)

    def link(self, scene: Scene, atoms: NDArray[np.float32]) -> NDArray[np.float32]:
        """A frame's atoms, shape (N, 10), with track ids in the last column."""
        stream = self._stream(scene)
        positions = atoms[:, :2] * np.array(scene.pixel_size_nm or (1.0, 1.0))
        if np.isfinite(now := neighbour_px(positions)):
            stream.neighbour = now
        before = stream.positions
        if len(before) and np.isfinite(stream.neighbour):
            # Atoms out of sight would vote for bringing back those that have just left the frame.
            last_seen = stream.unseen == stream.unseen.min()
            before = before + common_shift(before[last_seen], positions, stream.neighbour)
        old, new = self._pairs(before, positions, self._max_distance(stream))

        ids = np.full(len(atoms), -1, np.int64)
        ids[new] = stream.ids[old]
        fresh = ids < 0
        if stream.next_id + int(fresh.sum()) > self._most_ids:
            self._restarted += 1
            log.warning("all %d track ids of %s are used up; its tracks begin again at 0", self._most_ids, scene.source)
            stream.next_id, fresh, old = 0, np.ones(len(ids), np.bool_), np.arange(len(before))
        count = int(fresh.sum())
        ids[fresh] = np.arange(stream.next_id, stream.next_id + count)
        stream.next_id += count
        self._started += count

        missed = np.setdiff1d(np.flatnonzero(stream.unseen < self._settings.memory_frames), old)
        stream.positions = np.concatenate([positions, before[missed]])
        stream.ids, stream.unseen = np.concatenate([ids, stream.ids[missed]]), np.concatenate([np.zeros(len(ids), np.int64), stream.unseen[missed] + 1])
        linked = atoms.copy()
        linked[:, _ID] = ids
        return linked

    def _stream(self, scene: Scene) -> _Stream:
        key = (scene.source, scene.channel)
        known = self._streams.pop(key, None)
        stream = known if known is not None and known.scene == scene else _Stream(scene, 0 if known is None else known.next_id)
        self._streams[key] = stream
        while len(self._streams) > _MOST_STREAMS:
            self._streams.popitem(last=False)
        return stream

    def _max_distance(self, stream: _Stream) -> float:
        """In the stream's unit of positions."""
        size = stream.scene.pixel_size_nm
        if self._settings.max_distance_nm is not None and size is not None:
            return self._settings.max_distance_nm
        if np.isfinite(stream.neighbour):
            return self._settings.max_distance_share * stream.neighbour
        return _NO_NEIGHBOUR_PX * (1.0 if size is None else max(size))

    def _pairs(self, before: NDArray[np.float64], after: NDArray[np.float64], radius: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if len(before) and len(after):
            there, here, allowed = cKDTree(before), cKDTree(after), radius
            while there.count_neighbors(here, radius) > _MOST_CANDIDATES * max(len(before), len(after)):
                radius *= _NARROWER
            self._narrowed += radius < allowed
        return match(before, after, radius)
