"""A microscope that sends its next frame as soon as the last one is answered."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from atomstream_client import Atoms, Failure, FramePublisher, ResultSubscriber
from atomstream_models.simulation import SimulatedMicroscope


def simulated_images(count: int, shape: tuple[int, int] = (256, 256)) -> list[NDArray[np.uint16]]:
    microscope = SimulatedMicroscope(3, shape)
    return [microscope.next_frame().image for _ in range(count)]


class Stream:
    """Answered frames so far, and whether any went missing.

    answers : every `Atoms` that came, in order
    failures : every `Failure`
    unanswered : frames that were sent and not answered within `patience_s`
    """

    def __init__(self, publisher: FramePublisher, subscriber: ResultSubscriber, images: list[NDArray[np.uint16]], patience_s: float) -> None:
        self.answers: list[Atoms] = []
        self.failures: list[Failure] = []
        self.unanswered = 0
        self.stop = threading.Event()
        self._publisher = publisher
        self._subscriber = subscriber
        self._images = images
        self._patience_s = patience_s

    def run(self) -> None:
        sent = 0
        while not self.stop.is_set():
            self._publisher.publish(self._images[sent % len(self._images)], frame=sent, pixel_size=(0.0104, 0.0104))
            self.unanswered += not self._wait_for(sent)
            sent += 1

    def wait_for(self, count: int, timeout_s: float = 60.0) -> None:
        """Wait until `count` frames have been answered."""
        deadline = time.monotonic() + timeout_s
        while len(self.answers) < count:
            assert time.monotonic() < deadline, f"{len(self.answers)} of {count} frames answered, {len(self.failures)} failed, {self.unanswered} lost"
            time.sleep(0.005)

    def _wait_for(self, frame: int) -> bool:
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline:
            result = self._subscriber.receive(0.05)
            if isinstance(result, Failure):
                self.failures.append(result)
                return True
            if isinstance(result, Atoms):
                self.answers.append(result)
                if result.report.frame == frame:
                    return True
        return False


@contextlib.contextmanager
def streaming(frames: str, results: str, *, shape: tuple[int, int] = (256, 256), patience_s: float = 20.0) -> Iterator[Stream]:
    """A stream that runs while the context lasts."""
    with FramePublisher("test/scope", frames) as publisher, ResultSubscriber(results, kinds=("atoms", "error")) as subscriber:
        assert publisher.wait_for_reader()
        time.sleep(0.2)  # the subscription has to reach the service before the first answer leaves it
        stream = Stream(publisher, subscriber, simulated_images(4, shape), patience_s)
        thread = threading.Thread(target=stream.run)
        thread.start()
        try:
            yield stream
        finally:
            stream.stop.set()
            thread.join()
