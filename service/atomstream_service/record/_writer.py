"""Writing a recording so that at any moment what was committed can be read, whatever happens to the writer."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from atomstream_models.recording import RecordedFrame
from atomstream_models.recording import layout as at
from atomstream_wire import ATOM_COLUMNS, Atoms, encode_frame, encode_result

from ._errors import RecordingFailed, RecordingRefused, in_words
from ._series import (
    Compression,
    add_drift,
    add_image,
    add_maps,
    create_drift,
    create_images,
    create_maps,
    drift_key,
    image_key,
    maps_key,
    pixel_nm,
)
from ._tables import AtomTable, FrameTable, Log

_MIB = 1 << 20
_NONE = -1


@dataclass(frozen=True)
class About:
    """What a recording says about itself.

    title : what it is called
    reason : what it is for
    actor : who wanted it
    """

    title: str
    reason: str = ""
    actor: str = ""


class RecordingWriter:
    """A recording being written; used from one thread.

    Frames are committed at least every `commit_s` seconds that `add` or `poll` are called in. What was committed stays readable after a kill and after
    an error. HDF5 makes no new groups while it writes in that safe way (SWMR), so the first frame of a new kind closes the file and opens it
    again, which takes a few milliseconds.

    path : must not be there yet
    commit_s : seconds between commits at most
    least_free_bytes : room that must be left on the disk

    frames, dropped : recorded so far, and not recorded as far as is known

    Raises
    ------
    RecordingRefused
        where the file is there already.
    RecordingFailed
        from every method, where the system can't write; nothing but `abandon` may be called after it.
    """

    def __init__(self, path: Path, about: About, *, compression: Compression = "lzf", commit_s: float = 0.5, least_free_bytes: int = 64 * _MIB) -> None:
        self.path = path
        self.frames = 0
        self.dropped = 0
        self._compression = compression
        self._commit_s = commit_s
        self._least_free_bytes = least_free_bytes
        self._committed_at = time.monotonic()
        self._waiting = False
        self._began: float | None = None
        self._table, self._atoms = FrameTable(), AtomTable()
        self._frame_headers, self._result_headers, self._watched, self._journal, self._ensembles = Log(), Log(), Log(), Log(), Log()
        self._atom_count = 0
        self._known_ensembles: set[tuple[str, ...]] = set()
        self._kinds: dict[str, dict[Hashable, int]] = {at.IMAGES: {}, at.MAPS: {}, at.DRIFT: {}}
        self._rows: dict[str, int] = {}
        with self._writing():
            self._file = self._create(about)

    def add(self, item: RecordedFrame) -> None:
        """Write one frame."""
        with self._writing():
            if self._began is None:
                self._began = item.report.t_recv
            time_s = item.report.t_recv - self._began
            images = self._kind(at.IMAGES, image_key(item), lambda group, number: create_images(group, number, item, self._compression))
            maps = self._kind(at.MAPS, maps_key(item), lambda group, number: create_maps(group, number, item, self._compression))
            scores = self._kind(at.DRIFT, drift_key(item), lambda group, number: create_drift(group, number, item))
            row = self._next_row(at.IMAGES, images)
            add_image(self._file[at.IMAGES.format(images)], item, time_s)
            if maps != _NONE:
                add_maps(self._file[at.MAPS.format(maps)], item, time_s)
            if scores != _NONE:
                add_drift(self._file[at.DRIFT.format(scores)], item, time_s)
            self._table.rows.append(
                {
                    **_numbers(item),
                    "series": images,
                    "row": row,
                    "atoms_offset": self._atom_count,
                    "maps": maps,
                    "maps_row": self._next_row(at.MAPS, maps),
                    "drift": scores,
                    "drift_row": self._next_row(at.DRIFT, scores),
                }
            )
            self._frame_headers.add(encode_frame(item.frame)[1])
            self._result_headers.add(encode_result(Atoms(item.report, item.atoms))[1])
            self._watched.add(item.watched)
            self._atoms.add(item.atoms)
            self._atom_count += len(item.atoms)
            self.frames += 1
            self.dropped += item.dropped_before
            self._waiting = True
        self.poll()

    def journal(self, entry: Mapping[str, Any]) -> None:
        """Write that something was changed in the service; `entry` holds the generation that it led to."""
        self._journal.add(json.dumps(entry, separators=(",", ":")).encode())
        self._waiting = True

    def ensemble(self, name: str, bundle_version: str, sha256: str, card: Mapping[str, Any]) -> None:
        """Write an ensemble's card; once, however often it is called with the same one."""
        if (name, bundle_version, sha256) in self._known_ensembles:
            return
        self._known_ensembles.add((name, bundle_version, sha256))
        entry = {"name": name, "version": bundle_version, "sha256": sha256, "card": card}
        self._ensembles.add(json.dumps(entry, separators=(",", ":")).encode())
        self._waiting = True

    def lost(self, count: int) -> None:
        """Count frames that were not recorded after the last one that was."""
        self.dropped += count

    def poll(self) -> None:
        """Commit what waits, if it is time to."""
        if self._waiting and time.monotonic() - self._committed_at >= self._commit_s:
            self.commit()

    def commit(self) -> None:
        """Make all that was added readable."""
        with self._writing():
            self._check_room()
            self._write_tables()
            self._file.flush()
            # Only once everything is in the file may its rows be counted.
            counts = self._file[at.COMMITTED]
            counts[:] = (self.frames, self._journal.count, self._ensembles.count)
            counts.flush()
        self._committed_at = time.monotonic()
        self._waiting = False

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    def finish(self, because: str) -> None:
        """Commit, say that the recording is complete and why it ended, and close the file."""
        self.commit()
        with self._writing():
            self._file.close()
            self._file = h5py.File(self.path, "r+", libver="latest", locking=False)
            end = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._file[at.ENTRY].attrs.update({"complete": True, "ended_because": because, "end_time": end, "dropped": self.dropped})
            self._file.close()

    def abandon(self) -> None:
        """Let the file go as it is, after an error."""
        with suppress(OSError, RuntimeError):
            self._file.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError as error:
            raise RecordingRefused("exists", f"{self.path} is there already: recordings are never overwritten") from error
        except (OSError, RuntimeError) as error:
            raise RecordingFailed(f"{self.path} can't be written: {in_words(error)}") from error

    def _create(self, about: About) -> h5py.File:
        self._check_room()
        h5 = h5py.File(self.path, "x", libver="latest", locking=False)
        began = datetime.now(UTC).isoformat(timespec="milliseconds")
        h5.attrs.update({"NX_class": "NXroot", "default": at.ENTRY, "schema": at.SCHEMA, "file_time": began, "creator": "atomstream"})
        entry = h5.create_group(at.ENTRY)
        software = {"atomstream": version("atomstream"), "h5py": h5py.__version__, "hdf5": h5py.version.hdf5_version, "numpy": np.__version__}
        entry.attrs.update({"NX_class": "NXentry", "default": at.IMAGES.format(0).rsplit("/", 1)[-1], "complete": False, "start_time": began})
        entry.attrs.update({"title": about.title, "reason": about.reason, "actor": about.actor, "software": json.dumps(software)})
        h5.create_dataset(at.COMMITTED, data=np.zeros(3, np.int64)).attrs["description"] = "frames, journal entries, ensembles that are whole"
        table = h5.create_group(at.FRAMES)
        table.attrs["NX_class"] = "NXcollection"
        FrameTable.create(table)
        atoms = h5.create_group(at.ATOMS.rsplit("/", 1)[0])
        atoms.attrs["NX_class"] = "NXcollection"
        AtomTable.create(atoms, ATOM_COLUMNS)
        Log.create(h5.create_group(at.FRAME_HEADERS), "header of each frame as it came (atomstream.frame.v1)")
        Log.create(h5.create_group(at.RESULT_HEADERS), "header of each frame's atoms as they were published (atomstream.result.v1)")
        Log.create(h5.create_group(at.WATCHED), "each frame as the watch over drift saw it, empty where it did not")
        Log.create(h5.create_group(at.JOURNAL), "what was changed in the service")
        Log.create(h5.create_group(at.ENSEMBLES), "every ensemble that answered, with its card")
        h5.swmr_mode = True
        return h5

    def _kind(self, pattern: str, key: Hashable | None, create: Callable[[h5py.Group, int], None]) -> int:
        """The number of the group that holds what has this key, made where it is new."""
        if key is None:
            return _NONE
        known = self._kinds[pattern]
        if key not in known:
            number = len(known)
            self.commit()
            self._file.close()
            self._file = h5py.File(self.path, "r+", libver="latest", locking=False)
            create(self._file.create_group(pattern.format(number)), number)
            self._file.swmr_mode = True
            known[key] = number
        return known[key]

    def _next_row(self, pattern: str, number: int) -> int:
        if number == _NONE:
            return _NONE
        name = pattern.format(number)
        row = self._rows.get(name, 0)
        self._rows[name] = row + 1
        return row

    def _write_tables(self) -> None:
        self._table.write(self._file[at.FRAMES])
        self._atoms.write(self._file[at.ATOMS])
        for name, log in (
            (at.FRAME_HEADERS, self._frame_headers),
            (at.RESULT_HEADERS, self._result_headers),
            (at.WATCHED, self._watched),
            (at.JOURNAL, self._journal),
            (at.ENSEMBLES, self._ensembles),
        ):
            log.write(self._file[name])

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if free < self._least_free_bytes:
            raise RecordingFailed(f"{self.path} can't be written: the disk has {free // _MIB} MiB left, {self._least_free_bytes // _MIB} must stay free")


def write_selection(path: Path, items: Sequence[RecordedFrame], about: About, *, journal: Sequence[Mapping[str, Any]] = (), **settings: Any) -> None:
    """A finished recording of frames that are in memory, such as a selection from the ring; it appears whole or not at all.

    settings : further arguments of `RecordingWriter`

    Raises
    ------
    RecordingRefused
        where the file is there already, or there is nothing to write.
    RecordingFailed
        where the system can't write.
    """
    if not items:
        raise RecordingRefused("nothing_to_write", f"there are no frames to write to {path}")
    if path.exists():
        raise RecordingRefused("exists", f"{path} is there already: recordings are never overwritten")
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    writer = RecordingWriter(unfinished, about, **settings)
    try:
        for item in items:
            writer.add(item)
        for entry in journal:
            writer.journal(entry)
        writer.finish("selection")
        unfinished.replace(path)
    except BaseException:
        writer.abandon()
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def _numbers(item: RecordedFrame) -> dict[str, Any]:
    report = item.report
    return {
        "seq": report.seq,
        "t_recv": report.t_recv,
        "t_end": np.nan if report.t_end is None else report.t_end,
        "t_done": report.t_done,
        "generation": report.ensemble.generation,
        "members_used": len(report.members_used),
        "atoms_count": len(item.atoms),
        "dropped_before": item.dropped_before,
        "pixel_size_nm": pixel_nm(item),
    }
