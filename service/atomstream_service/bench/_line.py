"""Frames sent to a service over ZeroMQ, and its answers awaited."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atomstream_client import Atoms, FramePublisher, Maps, ResultSubscriber

from ..demo import Launched
from ..errors import AtomstreamError
from ._frames import Frames

SOURCE = "bench"
_SETTLING_S = 0.3
"""From when the service listens until its results reach a reader that has just connected, too."""
_PATIENCE_S = 30.0


class Unanswered(AtomstreamError):
    """A service that does not listen, or frames that it did not answer in time."""


@dataclass(frozen=True)
class Line:
    """Both directions between an instrument and a service."""

    publisher: FramePublisher
    results: ResultSubscriber

    def send(self, image: NDArray[np.uint16], pixel_nm: float, frame: int | None = None) -> None:
        """Send a frame, whether or not it gets through."""
        self.publisher.publish(image, frame=frame, pixel_size=(pixel_nm, pixel_nm))

    def ask(self, image: NDArray[np.uint16], pixel_nm: float, frame: int, last: type[Atoms | Maps] = Atoms, patience_s: float = _PATIENCE_S) -> float | None:
        """Milliseconds from sending a frame to having its last message; None where it was not answered in time.

        last : the kind of message that comes last, of those read
        """
        start = time.perf_counter()
        self.send(image, pixel_nm, frame)
        while (left := start + patience_s - time.perf_counter()) > 0:
            result = self.results.receive(min(left, 1.0))
            if isinstance(result, last) and result.report.frame == frame:
                return 1000 * (time.perf_counter() - start)
        return None

    def rate(self, frames: Frames, count: int, in_flight: int) -> float:
        """Frames a second with so many on their way all the time.

        Raises
        ------
        Unanswered
            where one is not answered.
        """
        start = time.perf_counter()
        sent = received = 0
        while received < count:
            while sent < count and sent - received < in_flight:
                self.send(frames[sent], frames.pixel_nm)
                sent += 1
            if self.results.receive(_PATIENCE_S) is None:
                raise Unanswered(f"{count - received} frames were not answered")
            received += 1
        return count / (time.perf_counter() - start)


@contextmanager
def connected(service: Launched, kinds: tuple[str, ...] = ("atoms",)) -> Iterator[Line]:
    """A line to a service whose results are read, of these kinds."""
    with FramePublisher(SOURCE, service.frames, queue=16) as publisher, ResultSubscriber(service.results, kinds=kinds) as results:
        if not publisher.wait_for_reader():
            raise Unanswered(f"the service does not listen at {service.frames}")
        time.sleep(_SETTLING_S)
        yield Line(publisher, results)


class Stream:
    """Frames as fast as they are answered, from a thread of its own, while the context lasts.

    answers : when each frame's atoms came (`time.perf_counter`, s), and they
    unanswered : frames for which no atoms came
    """

    def __init__(self, line: Line, frames: Frames) -> None:
        self.answers: list[tuple[float, Atoms]] = []
        self.unanswered = 0
        self._line = line
        self._frames = frames
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream")

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self._over.set()
        self._thread.join()

    def wait_for(self, wanted: Callable[[Atoms], bool], since: int = 0, patience_s: float = 4 * _PATIENCE_S) -> float:
        """When the first atoms came, of those since answer number `since`, that are as wanted.

        Raises
        ------
        Unanswered
            where none come.
        """
        deadline = time.monotonic() + patience_s
        k = since
        while time.monotonic() < deadline:
            if k == len(self.answers):
                time.sleep(0.001)
                continue
            came, atoms = self.answers[k]
            if wanted(atoms):
                return came
            k += 1
        raise Unanswered(f"none of {k - since} answers was the one that was waited for")

    def _run(self) -> None:
        k = 0
        while not self._over.is_set():
            self._line.send(self._frames[k], self._frames.pixel_nm, k)
            self.unanswered += not self._answered(k)
            k += 1

    def _answered(self, k: int) -> bool:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            result = self._line.results.receive(0.1)
            if isinstance(result, Atoms):
                self.answers.append((time.perf_counter(), result))
                if result.report.frame == k:
                    return True
        return False
