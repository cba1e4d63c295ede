from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from atomstream_models.analysis import FrameRefused, Inferred, MemberFailed, finish
from atomstream_models.errors import InputError
from atomstream_models.lengths import pixel_size_in_nm
from atomstream_models.recording import RecordedFrame
from atomstream_models.runtime import LoadedEnsemble, Shown, look_at_all
from atomstream_wire import EnsembleState, Frame, FrameReport

from ..files import FileFrame, FileFrames
from ._job import Job
from ._result import Result


@dataclass(frozen=True)
class Predicted:
    """How a run ended.

    frames : in the result, those taken over from an interrupted run among them
    taken_over : of those, how many were there before
    refused : frame -> why it could not be processed
    """

    frames: int
    taken_over: int
    refused: dict[int, str]


@dataclass(frozen=True)
class _Taken:
    """A frame on its way through the members."""

    number: int
    frame: Frame
    t_recv: float


def predict(frames: FileFrames, ensemble: LoadedEnsemble, job: Job, result: Result, done: Callable[[int], None]) -> Predicted:
    """Answer every frame that the result does not hold yet, and end it.

    Each frame is prepared, run and finished by the functions that answer live ones. Frames are read as they are needed: no more of them are in memory than
    members run at once.

    done : called after each frame with how many of the file's have been dealt with

    Raises
    ------
    InputError
        where a frame can't be read, a member fails, or no frame at all could be processed. What was committed stays, to be gone on with.
    """
    writer = result.writer
    if writer is None:
        return Predicted(result.taken_over, result.taken_over, result.refused)
    taken: deque[_Taken] = deque()
    last = result.next - 1 - _trailing(result)

    def coming() -> Iterator[Shown]:
        for number in range(result.next, len(frames)):
            one = _Taken(number, _frame(frames[number], job, number), time.time())
            taken.append(one)
            (image,) = list(one.frame.channels.values())[:1]
            yield Shown(image, pixel_size_in_nm(one.frame.pixel_size, one.frame.pixel_unit), one.frame.valid_rows)

    try:
        for outcome in look_at_all(ensemble, coming(), job.members):
            one = taken.popleft()
            if isinstance(outcome, FrameRefused):
                result.refuse(one.number, str(outcome))
            else:
                writer.add(_answered(one, outcome, ensemble, job, one.number - last - 1))
                last = one.number
            done(one.number + 1)
    except MemberFailed as error:
        writer.commit()
        raise InputError(f"{ensemble.card.name} {ensemble.card.version}: {error}") from error
    except BaseException:
        writer.commit()
        raise
    if not writer.frames:
        writer.abandon()
        result.path.unlink()
        first = min(result.refused)
        raise InputError(f"no frame of {frames.file} can be processed; frame {first}: {result.refused[first]}")
    writer.lost(len(frames) - 1 - last)
    writer.finish("done")
    return Predicted(writer.frames, result.taken_over, result.refused)


def _trailing(result: Result) -> int:
    """Frames that were refused after the last one that is in the result."""
    count = 0
    while result.next - 1 - count in result.refused:
        count += 1
    return count


def _frame(one: FileFrame, job: Job, number: int) -> Frame:
    name = next(iter(one.channels))
    return Frame({name: one.channels[name]}, job.session, number, one.source, **one.about)


def _answered(one: _Taken, inferred: Inferred, ensemble: LoadedEnsemble, job: Job, dropped_before: int) -> RecordedFrame:
    card, frame = ensemble.card, one.frame
    answer = finish(inferred, card)
    (channel,) = frame.channels
    chosen = set(job.members) != set(card.member_ids)
    rows, columns = frame.channels[channel].shape
    report = FrameReport(
        session=frame.session,
        seq=frame.seq,
        source=frame.source,
        channel=channel,
        shape=(rows, columns),
        ensemble=EnsembleState(card.name, card.version, ensemble.bundle.sha256, 0),
        members_used=answer.members_used,
        members_total=len(card.members),
        classes=card.classes,
        t_recv=one.t_recv,
        t_done=time.time(),
        frame=frame.frame,
        pixel_size=frame.pixel_size,
        pixel_unit=frame.pixel_unit,
        t_end=frame.t_end,
        flags=(*answer.flags, "unselected") if card.unselected and not chosen else answer.flags,
        user=frame.user,
        vendor=frame.vendor,
    )
    mean, std = (answer.mean, answer.std) if job.maps else (None, None)
    return RecordedFrame(frame, report, answer.atoms, mean=mean, std=std, dropped_before=dropped_before)
