"""One frame beside the stream."""

from __future__ import annotations

import threading
import time
from typing import Any

from numpy.typing import NDArray

from atomstream_wire import Failure, Frame

from ..transport import CommandRefused
from ._intake import Intake
from ._work import Finished, Job


def answer_one(intake: Intake[Job], frame: Frame, channel: str, image: NDArray[Any], timeout_s: float) -> Finished:
    """The answer to one frame, which takes its turn with those of the stream, and is not published.

    Raises
    ------
    CommandRefused
        busy or timeout where it gets no turn or no answer in time; else the code with which the frame failed.
    """
    answered = threading.Event()
    answers: list[Finished | Failure] = []

    def done(answer: Finished | Failure) -> None:
        answers.append(answer)
        answered.set()

    if not intake.request(Job(frame, channel, image, time.time(), time.perf_counter(), done)):
        raise CommandRefused("busy", "too many single frames wait already; try again")
    if not answered.wait(timeout_s):
        raise CommandRefused("timeout", f"the frame was not answered within {timeout_s:g} s")
    answer = answers[0]
    if isinstance(answer, Failure):
        raise CommandRefused(answer.code, answer.message)
    return answer
