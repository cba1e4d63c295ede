"""Frames that are answered by a real ensemble, and have come through no socket."""

from __future__ import annotations

import time
from collections.abc import Callable

from conftest import dots
from recordings import SESSION

from atomstream_models.analysis import finish, infer, prepare
from atomstream_models.runtime import LoadedEnsemble
from atomstream_service.engine._work import Active, Finished, Job, Work
from atomstream_service.members import MemberState
from atomstream_wire import Frame, FrameReport


def active_of(ensemble: LoadedEnsemble) -> Active:
    """An ensemble with all members enabled."""
    return Active(ensemble, 1, dict.fromkeys(ensemble.card.member_ids, MemberState.ENABLED), False)


def works(active: Active) -> Callable[[int], Work]:
    """Makes frame `seq` with its members' answers, which are the same for every frame."""
    image = dots((32, 32), [(10.0, 10.0), (20.0, 20.0)])
    card = active.ensemble.card
    inferred = infer(prepare(image, None, card), card, card.member_ids, active.ensemble.answer)

    def work(seq: int) -> Work:
        job = Job(Frame({"frame": image + seq}, SESSION, seq, "test/scope"), "frame", image + seq, time.time(), time.perf_counter())
        now = time.perf_counter()
        return Work(job, active, inferred, now, now, now, None)

    return work


def finished(work: Work) -> Finished:
    """The frame as it leaves the pipeline."""
    job, card = work.job, work.active.ensemble.card
    answer = finish(work.inferred, card)
    frame = job.frame
    report = FrameReport(
        session=frame.session,
        seq=frame.seq,
        source=frame.source,
        channel=job.channel,
        shape=(job.image.shape[0], job.image.shape[1]),
        ensemble=work.active.label,
        members_used=answer.members_used,
        members_total=len(card.members),
        classes=card.classes,
        t_recv=job.t_recv,
        t_done=time.time(),
    )
    return Finished(job, work.active, work.inferred, answer, report, None, {})
