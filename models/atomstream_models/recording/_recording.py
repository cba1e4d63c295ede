"""Reading a recording."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atomstream_wire import Atoms, decode_frame, decode_result

from ..errors import InputError
from . import layout as at
from ._frame import DriftScores, RecordedFrame
from ._open import open_hdf5


class UnreadableRecording(InputError):
    """A file that is no recording, or one that nothing was committed to."""


@dataclass(frozen=True)
class Series:
    """Frames of one kind, which share an array.

    name : of their group
    shape : (rows, columns)
    frames : numbers of its frames in the recording, in order
    pixel_nm : (y, x) of a pixel; None where it is unknown
    """

    name: str
    source: str
    channel: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    frames: tuple[int, ...]
    pixel_nm: tuple[float, float] | None


@dataclass(frozen=True)
class Ensemble:
    """An ensemble that answered frames of a recording.

    sha256 : as in the results
    card : its card, as JSON values
    """

    name: str
    version: str
    sha256: str
    card: dict[str, Any]


def is_recording(file: Path) -> bool:
    """Whether a file is a recording, finished or not."""
    try:
        with open_hdf5(file) as h5:
            return bool(h5.attrs.get("schema") == at.SCHEMA)
    except OSError:
        return False


def open_recording(file: Path) -> Recording:
    """A recording to read from, be it finished, still being written, or left behind by a recorder that was killed.

    Raises
    ------
    UnreadableRecording
        naming the file and what is wrong.
    """
    try:
        h5 = open_hdf5(file)
    except OSError as error:
        raise UnreadableRecording(f"{file} can't be read: {error.strerror or error}") from error
    try:
        return Recording(file, h5)
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        h5.close()
        if isinstance(error, UnreadableRecording):
            raise
        raise UnreadableRecording(f"{file} can't be read: {error}") from error


class Recording:
    """Frames with their answers, read as they are asked for; of a recording still being written, what was committed when it was opened.

    path : its file
    complete : whether the recorder ended it; False while it is being written and after a kill
    ended_because : why it was ended; empty where it wasn't
    title, reason, actor, started : what it is called, what it is for, who wanted it, and since when (ISO 8601)
    dropped : frames that were to be recorded and were not, as far as is known
    software : versions of what wrote it
    seq, t_recv, t_end, generation, dropped_before, pixel_nm : ndarray, one entry a frame; pixel_nm has two, NaN where unknown
    """

    def __init__(self, path: Path, h5: h5py.File) -> None:
        attributes = h5.attrs
        if attributes.get("schema") != at.SCHEMA:
            raise UnreadableRecording(f"{path} is no recording: its schema is {attributes.get('schema')!r}, not {at.SCHEMA!r}")
        self.path = path
        self._h5 = h5
        about = h5[at.ENTRY].attrs
        self.complete = bool(about.get("complete", False))
        self.ended_because = str(about.get("ended_because", ""))
        self.title = str(about["title"])
        self.reason = str(about["reason"])
        self.actor = str(about["actor"])
        self.started = str(about["start_time"])
        self.software: dict[str, str] = json.loads(about["software"])
        frames, journal, ensembles = (int(count) for count in h5[at.COMMITTED][:])
        self._count, self._journal_count, self._ensembles_count = frames, journal, ensembles
        table = h5[at.FRAMES]
        columns = {name: table[name][:frames] for name in table}
        self.seq: NDArray[np.int64] = columns["seq"]
        self.t_recv: NDArray[np.float64] = columns["t_recv"]
        self.t_end: NDArray[np.float64] = columns["t_end"]
        self.generation: NDArray[np.int64] = columns["generation"]
        self.dropped_before: NDArray[np.int64] = columns["dropped_before"]
        self.pixel_nm: NDArray[np.float64] = columns["pixel_size_nm"]
        self._columns = columns
        self.dropped = int(about.get("dropped", self.dropped_before.sum()))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[RecordedFrame]:
        return (self.frame(k) for k in range(len(self)))

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._h5.close()

    @property
    def numbers(self) -> NDArray[np.int64]:
        """What its frames are called, one entry a frame: 0, 1, 2 and so on; in a result of `atomstream predict`, which has no frame that could not be
        processed, their numbers in the file that was predicted."""
        predicted = self._journal_count > 0 and json.loads(self._log(at.JOURNAL, 0)).get("action") == "predict"
        return self.seq if predicted else np.arange(len(self))

    @property
    def series(self) -> tuple[Series, ...]:
        """The kinds of frames, in the order in which they came first."""
        found = []
        for number in np.unique(self._columns["series"]):
            group = self._h5[at.IMAGES.format(number)]
            frames = tuple(int(k) for k in np.flatnonzero(self._columns["series"] == number))
            size = self.pixel_nm[frames[0]]
            pixel_nm = None if np.isnan(size).any() else (float(size[0]), float(size[1]))
            data = group["data"]
            name = group.name.rsplit("/", 1)[-1]
            found.append(Series(name, str(group.attrs["source"]), str(group.attrs["channel"]), data.shape[1:], data.dtype, frames, pixel_nm))
        return tuple(found)

    @property
    def journal(self) -> tuple[dict[str, Any], ...]:
        """What was changed in the service while it was recorded, in order, each entry with its generation."""
        return tuple(json.loads(self._log(at.JOURNAL, k)) for k in range(self._journal_count))

    @property
    def ensembles(self) -> tuple[Ensemble, ...]:
        """Every ensemble that answered, in the order in which they came first."""
        entries = (json.loads(self._log(at.ENSEMBLES, k)) for k in range(self._ensembles_count))
        return tuple(Ensemble(one["name"], one["version"], one["sha256"], one["card"]) for one in entries)

    def image(self, number: int) -> NDArray[Any]:
        """Pixels of a frame, in the instrument's own type."""
        series, row = self._columns["series"][number], int(self._columns["row"][number])
        image: NDArray[Any] = self._h5[at.IMAGES.format(series)]["data"][row]
        return image

    def atoms(self, number: int) -> NDArray[np.float32]:
        """Atoms of a frame, shape (N, 10), columns `atomstream_wire.ATOM_COLUMNS`."""
        first = int(self._columns["atoms_offset"][number])
        atoms: NDArray[np.float32] = self._h5[at.ATOMS][first : first + int(self._columns["atoms_count"][number])]
        return atoms

    def watched(self, number: int) -> bytes:
        """The watch over drift on a frame, as `RecordedFrame.watched`; empty in recordings from before it was recorded."""
        return self._log(at.WATCHED, number) if at.WATCHED in self._h5 else b""

    def frame(self, number: int) -> RecordedFrame:
        """A frame with all that was recorded about it.

        Raises
        ------
        UnreadableRecording
            where the file is damaged.
        """
        try:
            image, answer = self.image(number), self._answer(number)
            header = self._log(at.FRAME_HEADERS, number)
            source = json.loads(header)["source"].encode()
            frame = decode_frame([source, header, image.reshape(-1).view(np.uint8).data], max_pixels=image.size)
            (mean, std), drift, watched = self._maps(number), self._drift(number), self.watched(number)
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise UnreadableRecording(f"{self.path}: frame {number} is damaged: {error}") from error
        dropped = int(self.dropped_before[number])
        return RecordedFrame(frame, answer.report, answer.atoms, drift, mean, std, dropped, watched)

    def answer(self, number: int) -> Atoms:
        """What was answered to a frame, without reading its pixels.

        Raises
        ------
        UnreadableRecording
            where the file is damaged.
        """
        try:
            return self._answer(number)
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise UnreadableRecording(f"{self.path}: frame {number} is damaged: {error}") from error

    def _answer(self, number: int) -> Atoms:
        report = self._log(at.RESULT_HEADERS, number)
        answer = decode_result([b"", report, self.atoms(number).reshape(-1).view(np.uint8).data])
        if not isinstance(answer, Atoms):
            raise TypeError(f"it has no atoms but {type(answer).__name__}")
        return answer

    def _log(self, name: str, row: int) -> bytes:
        log = self._h5[name]
        first = int(log["end"][row - 1]) if row else 0
        return bytes(log["bytes"][first : int(log["end"][row])].tobytes())

    def _maps(self, number: int) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
        group, row = int(self._columns["maps"][number]), int(self._columns["maps_row"][number])
        if group < 0:
            return None, None
        maps = self._h5[at.MAPS.format(group)]
        std = maps["std"][row]
        return maps["data"][row], None if np.isnan(std).all() else std

    def _drift(self, number: int) -> DriftScores | None:
        group, row = int(self._columns["drift"][number]), int(self._columns["drift_row"][number])
        if group < 0:
            return None
        scores = self._h5[at.DRIFT.format(group)]
        members, names = (tuple(one.decode() for one in scores[key][:]) for key in ("members", "names"))
        return DriftScores(members, names, scores["data"][row])
