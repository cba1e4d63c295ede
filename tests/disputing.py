"""Members that agree until one of them is given something to see that the others don't."""

from __future__ import annotations

import time

import numpy as np
from conftest import dots
from numpy.typing import NDArray

from atomstream_client import Atoms, FramePublisher, ResultSubscriber
from atomstream_service.demo import Launched
from atomstream_wire import Event

DISPUTED_BIASES = (-4.6, -4.0, -3.4, -2.8)
"""Of the members of a plain bundle; the last one alone sees faint atoms."""

DRIFT_SETTINGS = """
warm_shapes = [[64, 64]]
watchdog_s = 60.0
[drift]
window = 20
sustain = 3
"""

_PAUSE_S = 0.02
"""Between frames, so that the watch over drift is not spared some."""


class Scope:
    """Frames on which four tiny members agree, or on which the last one, whose bias is its own, sees atoms that the rest does not."""

    def __init__(self, service: Launched) -> None:
        self._publisher = FramePublisher("test/scope", service.frames)
        self._results = ResultSubscriber(service.results, kinds=("atoms", "event"))
        self._random = np.random.default_rng(5)
        self.events: list[Event] = []

    def __enter__(self) -> Scope:
        assert self._publisher.wait_for_reader()
        time.sleep(0.2)
        return self

    def __exit__(self, *ignored: object) -> None:
        self._publisher.close()
        self._results.close()

    def agreed(self) -> NDArray[np.float32]:
        return self._noisy(dots((64, 64), [(20.0, 20.0), (20.0, 44.0), (44.0, 20.0), (44.0, 44.0)], height=4.0))

    def disputed(self) -> NDArray[np.float32]:
        faint = dots((64, 64), [(8.0, 8.0), (32.0, 32.0), (56.0, 56.0), (8.0, 56.0), (56.0, 8.0)], height=1.6)
        return self._noisy(dots((64, 64), [(20.0, 20.0), (20.0, 44.0), (44.0, 20.0), (44.0, 44.0)], height=4.0) + faint)

    def send(self, image: NDArray[np.float32]) -> Atoms:
        self._publisher.publish(image, pixel_size=(0.01, 0.01))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            result = self._results.receive(0.5)
            if isinstance(result, Event):
                self.events.append(result)
            elif isinstance(result, Atoms):
                time.sleep(_PAUSE_S)
                return result
        raise AssertionError("the frame was not answered")

    def _noisy(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        return image + self._random.normal(0, 0.02, image.shape).astype(np.float32)
