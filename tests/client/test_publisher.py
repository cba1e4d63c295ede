from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import zmq

from atomstream_client import Atoms, BadFrame, BadMessage, ClientError, Closed, Failure, FramePublisher, ResultSubscriber, ServiceUnreachable
from atomstream_client import ControlClient as Control
from atomstream_client.testing import answering
from atomstream_wire import EnsembleState, Frame, FrameReport, Maps, Result, decode_frame, encode_result

IMAGE = np.arange(12, dtype=np.uint16).reshape(3, 4)


def _report(frame: Frame) -> FrameReport:
    return FrameReport(frame.session, frame.seq, frame.source, "image", (3, 4), EnsembleState("e", "1", "ab", 1), ("m",), 1, ("C",), 0.0, 1.0)


def _echo(frame: Frame) -> Iterable[Result]:
    yield Atoms(_report(frame), np.full((1, 10), frame.seq, np.float32))
    yield Maps(_report(frame), np.ones((1, 3, 4), np.float32), None)


def test_frames_go_out_and_results_come_back() -> None:
    with answering(_echo) as (frames, results), FramePublisher("x", frames) as publisher, ResultSubscriber(results) as subscriber:
        assert publisher.wait_for_reader(5)
        time.sleep(0.2)
        assert publisher.publish(IMAGE, pixel_size=(0.1, 0.1))
        atoms, maps = subscriber.receive(5), subscriber.receive(5)

    assert isinstance(atoms, Atoms)
    assert isinstance(maps, Maps)
    assert (atoms.report.session, atoms.report.seq) == (publisher.session, 0)
    assert (publisher.sent, publisher.dropped) == (1, 0)


def test_with_nobody_listening_publish_returns_at_once_and_counts() -> None:
    with FramePublisher("x", "tcp://127.0.0.1:9") as publisher:
        assert [publisher.publish(IMAGE) for _ in range(3)] == [False] * 3
        assert not publisher.wait_for_reader(0.05)

    assert (publisher.sent, publisher.dropped) == (0, 3)


@pytest.mark.parametrize(("kind", "reader"), [("pub", zmq.SUB), ("push", zmq.PULL)])
def test_a_reader_that_does_not_keep_up_costs_frames_that_are_counted_on_both_sides(kind: str, reader: int) -> None:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(reader)
    socket.rcvhwm = 1
    with socket:
        if reader == zmq.SUB:
            socket.subscribe(b"")
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        with FramePublisher("x", f"tcp://127.0.0.1:{port}", socket=kind) as publisher:
            while not publisher.wait_for_reader(0.1):
                socket.poll(0)  # a socket takes up new connections only while it is used
            large = np.zeros((1500, 1500), np.uint16)
            for _ in range(60):
                publisher.publish(large)
            seqs = []
            while socket.poll(500):
                seqs.append(decode_frame(socket.recv_multipart()).seq)

            assert publisher.dropped > 0
            assert publisher.sent == len(seqs)
            assert publisher.sent + publisher.dropped == 60
            assert len(set(seqs)) == len(seqs)
        socket.close(linger=0)


def test_the_instrument_may_reuse_its_memory_after_publish() -> None:
    seen: list[Any] = []

    def keep(frame: Frame) -> Iterable[Result]:
        seen.append(frame.channels["image"].copy())
        return _echo(frame)

    image = np.zeros((800, 900), np.uint16)
    with answering(keep) as (frames, results), FramePublisher("x", frames) as publisher, ResultSubscriber(results) as subscriber:
        assert publisher.wait_for_reader(5)
        time.sleep(0.2)
        publisher.publish(image)
        image[:] = 7
        subscriber.receive(5)

    assert not seen[0].any()


def test_a_frame_that_breaks_the_schema_is_refused_and_costs_no_seq() -> None:
    with answering(_echo) as (frames, results), FramePublisher("x", frames) as publisher, ResultSubscriber(results) as subscriber:
        assert publisher.wait_for_reader(5)
        time.sleep(0.2)
        for bad in ({"pixel_size": (0, 1)}, {"novelty": 1}, {"frame": -1}):
            with pytest.raises(BadFrame):
                publisher.publish(IMAGE, **bad)
        with pytest.raises(BadFrame, match="<c8"):
            publisher.publish(IMAGE.astype("<c8"))
        publisher.publish(IMAGE)
        result = subscriber.receive(5)

    assert isinstance(result, Atoms)
    assert result.report.seq == 0


def test_after_close_everything_says_so() -> None:
    publisher, subscriber = FramePublisher("x", "tcp://127.0.0.1:9"), ResultSubscriber("tcp://127.0.0.1:9")
    publisher.close()
    subscriber.close()
    publisher.close()
    subscriber.close()

    with pytest.raises(Closed):
        publisher.publish(IMAGE)
    with pytest.raises(Closed):
        subscriber.receive(0.1)


def _published(messages: list[list[bytes]], **options: Any) -> tuple[ResultSubscriber, zmq.Socket[bytes]]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    subscriber = ResultSubscriber(f"tcp://127.0.0.1:{port}", **options)
    socket.recv()
    time.sleep(0.1)
    for message in messages:
        socket.send_multipart(message)
    return subscriber, socket


def _atoms(seq: int, source: str = "x") -> list[bytes]:
    frame = Frame({"image": IMAGE}, "s", seq, source)
    return [bytes(part) for part in encode_result(Atoms(_report(frame), np.empty((0, 10), np.float32)))]


def test_frames_without_a_result_are_counted() -> None:
    subscriber, socket = _published([_atoms(seq) for seq in (3, 4, 7, 8)], kinds=("atoms",))
    with subscriber, socket:
        for _ in range(4):
            assert subscriber.receive(5) is not None
        assert subscriber.missed == 2
        socket.close(linger=0)


def test_latest_skips_to_the_newest_result() -> None:
    subscriber, socket = _published([_atoms(seq) for seq in range(20)], kinds=("atoms",), latest=True)
    with subscriber, socket:
        time.sleep(0.3)
        result = subscriber.receive(5)
        assert isinstance(result, Atoms)
        assert result.report.seq == 19
        assert subscriber.skipped == 19
        socket.close(linger=0)


def test_one_source_is_not_mistaken_for_another_that_begins_like_it() -> None:
    subscriber, socket = _published([_atoms(0, "stem2"), _atoms(1, "stem")], kinds=("atoms",), source="stem")
    with subscriber, socket:
        result = subscriber.receive(5)
        assert isinstance(result, Atoms)
        assert result.report.source == "stem"
        socket.close(linger=0)


def test_what_is_no_result_is_said_and_the_next_one_is_read() -> None:
    subscriber, socket = _published([[b"atoms/x", b"{}"], _atoms(5)], kinds=("atoms",))
    with subscriber, socket:
        with pytest.raises(BadMessage, match="schema"):
            subscriber.receive(5)
        assert subscriber.receive(5) is not None
        socket.close(linger=0)


def test_nothing_to_receive_is_none() -> None:
    with ResultSubscriber("tcp://127.0.0.1:9") as subscriber:
        assert subscriber.receive(0.05) is None


def test_a_service_that_is_not_there_is_said_to_be_unreachable() -> None:
    control = Control("http://127.0.0.1:9", timeout_s=2)

    with pytest.raises(ServiceUnreachable, match=r"127\.0\.0\.1:9"):
        control.status()
    assert not control.ready()
    assert not control.wait_ready(0.1)


def test_every_error_of_the_client_is_a_client_error() -> None:
    assert all(issubclass(one, ClientError) for one in (BadFrame, BadMessage, Closed, ServiceUnreachable))


@pytest.mark.parametrize("options", [{"socket": "req"}, {"attach": "throw"}])
def test_a_wrong_option_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options.values()))):
        FramePublisher("x", **options)
    with pytest.raises(ValueError, match="sounds"):
        ResultSubscriber(kinds=("sounds",))


def test_an_answer_that_fails_is_raised_in_the_test() -> None:
    def broken(frame: Frame) -> Iterable[Result]:
        raise ZeroDivisionError

    def run() -> None:
        with answering(broken) as (frames, _), FramePublisher("x", frames) as publisher:
            assert publisher.wait_for_reader(5)
            publisher.publish(IMAGE)
            time.sleep(0.5)

    with pytest.raises(ZeroDivisionError):
        run()


def test_a_failure_is_a_result() -> None:
    def refuse(frame: Frame) -> Iterable[Result]:
        yield Failure(frame.source, "blank", "nothing there", frame.session, frame.seq)

    with answering(refuse) as (frames, results), FramePublisher("x", frames) as publisher, ResultSubscriber(results) as subscriber:
        assert publisher.wait_for_reader(5)
        time.sleep(0.2)
        publisher.publish(IMAGE)
        result = subscriber.receive(5)

    assert isinstance(result, Failure)
    assert result.code == "blank"


def test_frames_on_their_way_leave_before_the_program_ends() -> None:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
    socket.rcvhwm = 1
    with socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        program = (
            "import numpy as np; from atomstream_client import FramePublisher\n"
            f"with FramePublisher('x', 'tcp://127.0.0.1:{port}', socket='push', queue=50) as publisher:\n"
            "    assert publisher.wait_for_reader()\n"
            "    print(sum(publisher.publish(np.zeros((1500, 1500), np.uint16)) for _ in range(8)), flush=True)\n"
            "    publisher.close(linger_s=30)\n"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            published = int(process.stdout.readline())
            time.sleep(0.3)  # the program is closing before anybody reads
            received = 0
            while received < published and socket.poll(20_000):
                socket.recv_multipart()
                received += 1
            assert process.wait(20) == 0
        assert published == received == 8
        assert not socket.poll(100)
        socket.close(linger=0)


def test_an_actor_may_have_any_name() -> None:
    assert not Control("http://127.0.0.1:9", actor="Łukasz 王").ready()
