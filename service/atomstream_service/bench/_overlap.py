"""Frames as the engine answers a stream of them: the next one's members run while the last one's atoms are located."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from atomstream_models.analysis import Inferred, finish, infer, prepare
from atomstream_models.each import Each
from atomstream_models.runtime import LoadedEnsemble

from ._frames import Frames

_WAITING = 2
"""Frames that may wait for their atoms, as in the engine."""


def frames_per_s(ensemble: LoadedEnsemble, members: int, frames: Frames, count: int, each: Each) -> float:
    """Frames a second once the stream is under way: of `count` frames, from when the first one is done to when the last one is."""
    card, pixel_size_nm = ensemble.card, (frames.pixel_nm, frames.pixel_nm)

    def finished(inferred: Inferred) -> float:
        finish(inferred, card, each)
        return time.perf_counter()

    waiting: deque[Future[float]] = deque()
    done = []
    with ThreadPoolExecutor(1, thread_name_prefix="finishing") as finishing:
        for k in range(count + 1):
            inferred = infer(prepare(frames[k], pixel_size_nm, card), card, card.member_ids[:members], ensemble.answer, each)
            waiting.append(finishing.submit(finished, inferred))
            if len(waiting) > _WAITING:
                done.append(waiting.popleft().result())
        done += [one.result() for one in waiting]
    return count / (done[-1] - done[0])
