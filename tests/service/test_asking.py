"""Frames from a server that sends one when it is asked: European XFEL's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from karabo_bridge import ServerInThread
from waiting import until

from atomstream_service.config import FramesEndpoint
from atomstream_service.demo import free_endpoints
from atomstream_service.formats import reader_for
from atomstream_service.transport import AskingSocket
from atomstream_wire import Frame

IMAGE = np.arange(24 * 40, dtype=">u2").reshape(24, 40)


class _Asked:
    def __init__(self, endpoint: str) -> None:
        config = FramesEndpoint(endpoint=endpoint, socket="req", attach="connect", format="karabo-bridge")
        self.socket, self._read = AskingSocket(config), reader_for(config, 1 << 20)

    def next(self) -> Frame:
        parts: Any = until(lambda: self.socket.receive(100), lambda found: found is not None)
        frame = self._read(parts)
        assert frame is not None
        return frame


@pytest.fixture
def place() -> Iterator[str]:
    with free_endpoints(1) as (one,):
        yield f"tcp://{one}"


@pytest.fixture
def asked(place: str) -> Iterator[_Asked]:
    made = _Asked(place)
    yield made
    made.socket.close()


def _feed(server: ServerInThread, train: int) -> None:
    server.feed({"STEM/CAM": {"data": IMAGE + train}}, {"STEM/CAM": {"source": "STEM/CAM", "timestamp.tid": train}})


def test_every_frame_that_a_rep_server_has_is_asked_for_and_equals_its_source(place: str, asked: _Asked) -> None:
    with ServerInThread(place) as server:
        for train in range(5):
            _feed(server, train)
        frames = [asked.next() for _ in range(5)]

    assert [frame.frame for frame in frames] == list(range(5))
    for frame in frames:
        np.testing.assert_array_equal(frame.channels["STEM/CAM data"], IMAGE + frame.frame)


def test_a_server_that_comes_again_is_asked_again(place: str, asked: _Asked) -> None:
    for life in range(2):
        with ServerInThread(place) as server:
            _feed(server, life)
            assert asked.next().frame == life
