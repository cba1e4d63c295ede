"""From a sender's socket through the engine's receiving thread: every format, with something malformed in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import foreign
import numpy as np
import pytest
import zmq
from waiting import until

from atomstream_service.config import Config, Format, FramesEndpoint
from atomstream_service.demo import free_endpoints
from atomstream_service.engine._ledger import Ledger
from atomstream_service.engine._receiving import Receiving
from atomstream_service.engine._slot import Slot
from atomstream_service.engine._work import Job
from atomstream_service.formats import reader_for
from atomstream_service.transport import FrameSocket
from atomstream_wire import Failure, Frame, encode_frame

IMAGE = np.random.default_rng(4).integers(0, 1 << 16, (24, 40), dtype=np.uint16).astype(">u2")
FLOATS = np.random.default_rng(5).normal(size=(24, 40)).astype("<f4")

SENT: dict[Format, tuple[Callable[[int], list[bytes]], np.ndarray[Any, Any]]] = {
    "dectris-stream-v2": (lambda number: foreign.dectris_image({"a": IMAGE}, number, compression="bslz4"), IMAGE),
    "stem.thinned.v1": (lambda number: foreign.thinned({"sum": FLOATS}, number), FLOATS),
    "array-1.0": (lambda number: foreign.array(IMAGE, number), IMAGE),
    "odin-live-view": (lambda number: foreign.odin(IMAGE.astype("<u2"), number), IMAGE.astype("<u2")),
    "karabo-bridge": (lambda number: foreign.karabo({"A": {"b": IMAGE}}, number), IMAGE),
}
MALFORMED = [b"\x80\x04\x95junk", b"more", b"and more"]


class _Heard:
    """What a receiving thread made of what was sent."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.failures: list[Failure] = []
        self._slot: Slot[Job] = Slot("queue", 64, threading.Condition(), lambda job: None)

    def jobs(self, count: int) -> list[Job]:
        found: list[Job] = []

        def look() -> int:
            while (job := self._slot.pop()) is not None:
                found.append(job)
            return len(found)

        until(look, lambda number: number >= count)
        return found

    def receiving(self, endpoint: FramesEndpoint, channel: str | None = None) -> Receiving:
        config = Config(frames=(endpoint,), channel=channel, max_pixels=10_000)
        return Receiving(FrameSocket(endpoint), reader_for(endpoint, config.max_pixels), self._slot, config, self.ledger, self.failures.append)


@contextmanager
def _sender(place: str, kind: Literal["sub", "pull"], binds: bool) -> Iterator[Callable[[list[bytes]], None]]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB if kind == "sub" else zmq.PUSH)
    socket.linger = 0
    (socket.bind if binds else socket.connect)(place)

    def send(parts: list[bytes]) -> None:
        socket.send_multipart(parts)

    try:
        if kind == "sub":
            assert socket.poll(10_000), "nobody subscribed"
            socket.recv()
        yield send
    finally:
        socket.close()


@pytest.mark.parametrize("attach", ["bind", "connect"])
@pytest.mark.parametrize("kind", ["sub", "pull"])
@pytest.mark.parametrize("name", SENT)
def test_frames_equal_their_source_losses_are_counted_and_what_is_malformed_is_refused_while_the_stream_goes_on(
    name: Format, kind: Literal["sub", "pull"], attach: Literal["bind", "connect"]
) -> None:
    make, image = SENT[name]
    heard = _Heard()
    with free_endpoints(1) as (place,):
        endpoint = FramesEndpoint(endpoint=f"tcp://{place}", socket=kind, attach=attach, format=name, source="stem", thinned=False, pixel_size_nm=0.02)
        receiving = heard.receiving(endpoint)
        receiving.start()
        try:
            with _sender(endpoint.endpoint, kind, attach == "connect") as send:
                send(make(0))
                send(MALFORMED)
                send(make(1))
                send(make(4))
                jobs = heard.jobs(3)
        finally:
            receiving.stop()

    for job in jobs:
        assert job.image.dtype == image.dtype
        assert job.image.tobytes() == image.tobytes()
        assert (job.frame.source, job.frame.pixel_size) == ("stem", (0.02, 0.02))
    assert [job.frame.seq for job in jobs] == [0, 1, 4]
    assert heard.ledger.dropped("stem") == {"source_gap": 2, "queue": 0, "late": 0, "rejected": 1}
    assert [(failure.source, failure.seq) for failure in heard.failures] == [("stem", None)]


def test_a_reason_that_quotes_a_whole_message_is_cut_short() -> None:
    heard = _Heard()
    with free_endpoints(1) as (place,):
        endpoint = FramesEndpoint(endpoint=f"tcp://{place}", socket="pull")
        receiving = heard.receiving(endpoint)
        receiving.start()
        try:
            with _sender(endpoint.endpoint, "pull", False) as send:
                send([b"\xff" * 1_000_000, *encode_frame(Frame({"a": FLOATS}, "s", 0, "stem"))[1:]])
                until(lambda: len(heard.failures), lambda count: count == 1)
        finally:
            receiving.stop()

    (failure,) = heard.failures
    assert (failure.code, failure.source, failure.seq) == ("topic_mismatch", "stem", 0)
    assert failure.message.startswith("topic b'")
    assert len(failure.message) < 1100


def test_the_channel_that_is_analysed_is_chosen_by_name_as_for_our_own_frames() -> None:
    heard = _Heard()
    with free_endpoints(1) as (place,):
        endpoint = FramesEndpoint(endpoint=f"tcp://{place}", socket="pull", format="dectris-stream-v2", policy="block")
        receiving = heard.receiving(endpoint, "threshold_2")
        receiving.start()
        try:
            with _sender(endpoint.endpoint, "pull", False) as send:
                send(foreign.dectris_start({"threshold_1": IMAGE, "threshold_2": IMAGE}))
                send(foreign.dectris_image({"threshold_1": IMAGE, "threshold_2": IMAGE + np.uint16(1)}, 0))
                send(foreign.dectris_image({"threshold_1": IMAGE}, 1))
                send(foreign.dectris_end())
                send(foreign.dectris_image({"threshold_1": IMAGE, "threshold_2": IMAGE}, 2))
                jobs = heard.jobs(2)
        finally:
            receiving.stop()

    assert [job.channel for job in jobs] == ["threshold_2"] * 2
    np.testing.assert_array_equal(jobs[0].image, IMAGE + np.uint16(1))
    assert [(failure.code, failure.seq) for failure in heard.failures] == [("no_channel", 1)]
    assert heard.ledger.dropped("dectris") == {"source_gap": 0, "queue": 0, "late": 0, "rejected": 1}


def test_behind_a_tee_the_file_writer_and_the_service_get_every_image() -> None:
    heard, context = _Heard(), zmq.Context()
    with free_endpoints(3) as places:
        detector_at, writer_at, viewers_at = (f"tcp://{one}" for one in places)
        receiving = heard.receiving(FramesEndpoint(endpoint=viewers_at, attach="connect", format="dectris-stream-v2", policy="queue", depth=64))
        push: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
        writer: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
        push.linger = 0

        def tee() -> None:
            detector, out, viewers = context.socket(zmq.PULL), context.socket(zmq.PUSH), context.socket(zmq.XPUB)
            for one in (detector, out, viewers):
                one.linger = 0
            detector.connect(detector_at)
            out.bind(writer_at)
            viewers.bind(viewers_at)
            assert viewers.poll(10_000)
            try:
                zmq.proxy(detector, out, viewers)
            except zmq.ContextTerminated:
                for one in (detector, out, viewers):
                    one.close()

        thread = threading.Thread(target=tee)
        thread.start()
        receiving.start()
        try:
            writer.connect(writer_at)
            push.bind(detector_at)
            for number in range(8):
                push.send_multipart(foreign.dectris_image({"a": IMAGE}, number))
            written = [writer.recv() for _ in range(8)]
            jobs = heard.jobs(8)
        finally:
            receiving.stop()
            context.term()
            thread.join(10)
            push.close()
            writer.close()

    assert written == [foreign.dectris_image({"a": IMAGE}, number)[0] for number in range(8)]
    assert [job.frame.frame for job in jobs] == list(range(8))
