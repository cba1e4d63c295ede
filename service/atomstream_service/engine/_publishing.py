"""The two threads behind inference: one locates atoms, one sends results. Everything leaves in the order it came."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from atomstream_models.analysis import finish
from atomstream_models.each import Each
from atomstream_models.lengths import pixel_size_in_nm
from atomstream_wire import Atoms, FrameReport, Maps, Result, encode_result

from ..members import MemberState
from ..tracks import Scene, TrackLinker
from ..transport import ResultSocket
from ._deadline import Deadline
from ._latest import Latest
from ._ledger import Ledger
from ._timing import Timing
from ._work import Finished, Job, Work

_DEPTH = 2
"""Frames between two threads: enough to overlap, too few to age."""
_LOOK_S = 0.1

_Send = Callable[[], None]


class Pipeline:
    """Finishing and publishing.

    published : called with every frame of the stream once its results have been sent; must not wait
    doubts : whether drift is blamed for something on the frames of a source
    tracks : links atoms over frames; None where ids are running numbers
    deadline : is told how long locating takes
    latest : the frame published last
    """

    def __init__(
        self,
        socket: ResultSocket,
        ledger: Ledger,
        timing: Timing,
        publish_maps: bool,
        each: Each,
        published: Callable[[Finished], None],
        doubts: Callable[[str], bool],
        tracks: TrackLinker | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        self._socket = socket
        self._ledger = ledger
        self._timing = timing
        self._publish_maps = publish_maps
        self._each = each
        self._published = published
        self._doubts = doubts
        self.tracks = tracks
        self._deadline = deadline
        self.latest = Latest()
        self._to_finish: queue.Queue[Work | _Send | None] = queue.Queue(_DEPTH)
        self._ended = threading.Event()
        self._to_send: queue.Queue[_Send | None] = queue.Queue(4 * _DEPTH)
        self._threads = [
            threading.Thread(target=self._finishing, name="finishing", daemon=True),
            threading.Thread(target=self._publishing, name="publishing", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send what is on its way, then end."""
        self._to_finish.put(None)
        for thread in self._threads:
            thread.join(10)
        self._ended.set()

    def finish(self, work: Work) -> None:
        """Locate and send; waits where the threads behind are two frames late."""
        self._to_finish.put(work)

    def say(self, result: Result) -> None:
        """Send a message after the results that are on their way; after the end it is dropped, so that no command waits for a thread that has gone."""
        self._put(self._to_finish, lambda: self._socket.send(encode_result(result)))

    def say_at_once(self, result: Result) -> None:
        """Send a message without waiting for frames that are being located; after the end it is dropped, as by `say`."""
        self._put(self._to_send, lambda: self._socket.send(encode_result(result)))

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until every result that is on its way has been sent and `published` has heard of it; False where that takes too long."""
        deadline = time.monotonic() + timeout_s
        sent = threading.Event()
        return self._put(self._to_finish, sent.set, timeout_s) and sent.wait(deadline - time.monotonic())

    def after_all(self, call: Callable[[], None]) -> None:
        """Call once every result that is on its way has been sent."""
        self._to_finish.put(call)

    def _put(self, line: queue.Queue[Any], item: _Send, timeout_s: float = math.inf) -> bool:
        """Have something done by one of the threads; False where there was no room in time, or the threads have gone."""
        deadline = time.monotonic() + timeout_s
        while not self._ended.is_set() and (left_s := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Full):
                line.put(item, timeout=min(left_s, _LOOK_S))
                return True
        return False

    def _finishing(self) -> None:
        while (item := self._to_finish.get()) is not None:
            self._to_send.put(self._locate(item) if isinstance(item, Work) else item)
        self._to_send.put(None)

    def _publishing(self) -> None:
        while (send := self._to_send.get()) is not None:
            send()
        self._socket.close()

    def _locate(self, work: Work) -> _Send:
        start = time.perf_counter()
        card = work.active.ensemble.card
        answer = finish(work.inferred, card, self._each)
        tracked = self.tracks is not None and work.job.done is None
        if self.tracks is not None and tracked:
            answer = replace(answer, atoms=self.tracks.link(_scene(work.job), answer.atoms))
        done = time.perf_counter()
        tensor = work.inferred.prepared.tensor
        if self._deadline is not None and work.job.done is None and tensor is not None:
            self._deadline.finished(tensor.size, 1000 * (done - work.clock_inferred))
        flags = answer.flags
        if answer.members_used and len(answer.members_used) < len(work.active.members_in(MemberState.ENABLED)):
            flags = (*flags, "degraded")
        if card.unselected and not work.active.selected:
            flags = (*flags, "unselected")
        if self._doubts(work.job.frame.source) and work.job.done is None:
            flags = (*flags, "drift")
        stages = {
            "receive": (work.job.clock_recv, work.clock_taken),
            "preprocess": (work.clock_taken, work.clock_prepared),
            "infer": (work.clock_prepared, work.clock_inferred),
            "locate": (start, done),
        }
        took_ms = {stage: 1000 * (end - begin) for stage, (begin, end) in stages.items()}
        latency_ms = {"queue": took_ms.pop("receive"), **took_ms}

        def send() -> None:
            frame = work.job.frame
            report = FrameReport(
                session=frame.session,
                seq=frame.seq,
                source=frame.source,
                channel=work.job.channel,
                shape=(work.job.image.shape[0], work.job.image.shape[1]),
                ensemble=work.active.label,
                members_used=answer.members_used,
                members_total=len(card.members),
                classes=card.classes,
                t_recv=work.job.t_recv,
                t_done=time.time(),
                frame=frame.frame,
                pixel_size=frame.pixel_size,
                pixel_unit=frame.pixel_unit,
                t_end=frame.t_end,
                flags=flags,
                tracked=tracked,
                latency_ms={**latency_ms, "total": 1000 * (time.perf_counter() - work.job.clock_recv)},
                dropped=self._ledger.dropped(frame.source),
                user=frame.user,
                vendor=frame.vendor,
            )
            self._send_answer(Finished(work.job, work.active, work.inferred, answer, report, work.beside, stages))

        return send

    def _send_answer(self, finished: Finished) -> None:
        report, answer = finished.report, finished.answer
        if finished.job.done is not None:
            finished.job.done(finished)
            return
        start = time.perf_counter()
        self._socket.send(encode_result(Atoms(report, answer.atoms)))
        if self._publish_maps:
            self._socket.send(encode_result(Maps(report, answer.mean, answer.std)))
        self._ledger.answered(report.source, report.t_recv)
        self._timing.add(report.latency_ms)
        published = replace(finished, stages={**finished.stages, "publish": (start, time.perf_counter())})
        self.latest.put(published)
        self._published(published)


def _scene(job: Job) -> Scene:
    frame = job.frame
    shape = (job.image.shape[0], job.image.shape[1])
    return Scene(frame.source, job.channel, frame.session, shape, pixel_size_in_nm(frame.pixel_size, frame.pixel_unit))
