"""A result on the disk, new or taken up again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atomstream_models.errors import InputError
from atomstream_models.recording import Recording, UnreadableRecording, open_recording
from atomstream_models.runtime import LoadedEnsemble

from ..record import About, Compression, RecordingWriter
from ._job import Job

_BEGUN, _REFUSED = "predict", "refused"
"""Entries of the journal: what the result comes from, and a frame that could not be processed."""


@dataclass
class Result:
    """A recording that frames are being added to; where there was an unfinished one, it holds all of that.

    path : its file
    writer : None where the file is complete already
    next : number of the first frame that is missing
    taken_over : frames that were in it before
    refused : frame -> why it could not be processed
    """

    path: Path
    writer: RecordingWriter | None
    next: int = 0
    taken_over: int = 0
    refused: dict[int, str] = field(default_factory=dict)

    def refuse(self, number: int, why: str) -> None:
        """Write that a frame could not be processed."""
        assert self.writer is not None
        self.refused[number] = why
        self.writer.journal(_entry(_REFUSED, f"frame {number}", why, {"frame": number}))


def open_result(path: Path, job: Job, name: str, ensemble: LoadedEnsemble, compression: Compression, told: Callable[[int, int], None]) -> Result:
    """The result of a job to go on with, in a file that is not there yet, or that an interrupted run of the same job has left.

    What an interrupted run has committed is copied into a new file rather than appended to: HDF5 promises that a killed writer's file can be
    read, not that it can be written to. Until the copy is whole the old file stays, as `result.before.h5`.

    path : of the file
    name : of what is predicted, for people
    told : called while frames are copied, with how many have been, of how many

    Raises
    ------
    InputError
        where the file is there and belongs to something else.
    """
    kept = _kept(path)
    best = _best(path, kept, job)
    about = About(f"{name}, by {ensemble.card.name} {ensemble.card.version}", "predicted from a file", "atomstream predict")
    if best is None:
        return Result(path, _begun(path, about, job, ensemble, compression))
    if best == path:
        with open_recording(path) as recording:
            if recording.complete:
                return Result(path, None, job.frames, len(recording), _refused(recording))
        path.replace(kept)
    writer = _begun(path, about, job, ensemble, compression)
    with open_recording(kept) as recording:
        for k, item in enumerate(recording):
            writer.add(item)
            told(k + 1, len(recording))
        for entry in recording.journal[1:]:
            writer.journal(entry)
        refused = _refused(recording)
        last = int(recording.seq[-1]) if len(recording) else -1
        taken_over = len(recording)
    writer.commit()
    kept.unlink()
    return Result(path, writer, max([last, *refused]) + 1, taken_over, refused)


def ran_on(path: Path) -> str | None:
    """What ran the members of an interrupted run, so that the rest can run on the same; None where there was none."""
    for one in (path, _kept(path)):
        if one.exists():
            with suppress(UnreadableRecording), open_recording(one) as recording:
                for entry in recording.journal:
                    if entry.get("action") == _BEGUN:
                        return str(entry["after"].get("runs_on"))
    return None


def _kept(path: Path) -> Path:
    return path.with_name(f"{path.stem}.before{path.suffix}")


def _beginning(path: Path) -> Path:
    """A file that is there while a result is begun: until the first commit, a kill leaves something that is no HDF5 file yet."""
    return path.with_name(f".{path.name}.begun")


def _begun(path: Path, about: About, job: Job, ensemble: LoadedEnsemble, compression: Compression) -> RecordingWriter:
    _beginning(path).touch()
    writer = RecordingWriter(path, about, compression=compression)
    card = ensemble.card
    writer.journal(_entry(_BEGUN, path.name, about.title, job.as_json()))
    writer.ensemble(card.name, card.version, ensemble.bundle.sha256, card.model_dump(mode="json"))
    writer.commit()
    _beginning(path).unlink()
    return writer


def _entry(action: str, target: str, reason: str, after: Mapping[str, Any]) -> dict[str, Any]:
    return {"t": time.time(), "actor": "atomstream predict", "action": action, "target": target, "reason": reason, "generation": 0, "after": after}


def _best(path: Path, kept: Path, job: Job) -> Path | None:
    """Which of two files that an interrupted run may have left holds more; the other one is removed. None where there is nothing to go on with.

    Of two with the same frames it is the older one, since the journal is copied after the frames.
    """
    torn = path if kept.exists() or _beginning(path).exists() else None
    found = {one: count for one in (kept, path) if one.exists() and (count := _held(one, job, one == torn)) is not None}
    best = max(found, key=lambda one: found[one], default=None)
    for other in (path, kept):
        if other != best:
            other.unlink(missing_ok=True)
    return best


def _held(path: Path, job: Job, torn: bool) -> int | None:
    """How many frames of this job a file holds; None for one that was ended before it said whose it is.

    torn : whether a run of this command may have been ended while it began the file, so that one that can't be read is that

    Raises
    ------
    InputError
        for a file that is of another job, or no result at all.
    """
    try:
        with open_recording(path) as recording:
            begun = next((entry for entry in recording.journal if entry.get("action") == _BEGUN), None)
            if begun is None and len(recording) == 0 and recording.actor == "atomstream predict":
                return None
            differences = ["everything"] if begun is None else job.differs_from(begun["after"])
            if differences:
                raise InputError(f"{path} is the result of something else ({', '.join(differences)} differs): give another folder, or remove it")
            return len(recording)
    except UnreadableRecording as error:
        if torn:
            return None
        raise InputError(f"{path} is there and is no result that can be gone on with: {error}") from error


def _refused(recording: Recording) -> dict[int, str]:
    return {int(entry["after"]["frame"]): str(entry["reason"]) for entry in recording.journal if entry.get("action") == _REFUSED}
