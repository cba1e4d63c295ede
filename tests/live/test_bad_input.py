"""What instruments send when something is wrong with them: each has its defined answer, and the stream goes on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import zmq
from conftest import dots, make_plain_bundle

from atomstream_client import Atoms, Failure, FramePublisher, ResultSubscriber
from atomstream_service.demo import Launched, free_endpoints, launched
from atomstream_wire import FRAME_SCHEMA

NOISE = np.random.default_rng(0)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A service with tiny members that answers every frame."""
    folder = tmp_path_factory.mktemp("quick")
    bundle = make_plain_bundle(folder / "b", normalization="robust")
    with launched(folder / "s", bundle=str(bundle.folder), config='[[frames]]\npolicy = "queue"\ndepth = 64\n') as service:
        yield service


@pytest.fixture
def lines(quick: Launched) -> Iterator[tuple[list[FramePublisher], ResultSubscriber]]:
    """Two publishers of one source, and the results."""
    with ExitStack() as stack:
        publishers = [stack.enter_context(FramePublisher("test/bad", quick.frames, queue=64)) for _ in range(2)]
        subscriber = stack.enter_context(ResultSubscriber(quick.results, kinds=("atoms", "error"), source="test/bad"))
        assert all(publisher.wait_for_reader() for publisher in publishers)
        time.sleep(0.2)
        yield publishers, subscriber


def _frame(shape: tuple[int, int]) -> np.ndarray:
    return NOISE.integers(0, 900, shape).astype(np.uint16)


def test_frames_of_every_size_and_shape_are_answered(lines: tuple[list[FramePublisher], ResultSubscriber]) -> None:
    (publisher, _), subscriber = lines
    shapes = [(8, 2048), (2048, 8), (9, 13), (64, 64), (129, 61), (300, 200), (8, 8), (64, 65)]
    for shape in shapes:
        assert publisher.publish(_frame(shape))
        answer = subscriber.receive(20)
        assert isinstance(answer, Atoms)
        assert answer.report.shape == shape


def test_a_single_pixel_is_refused_and_the_next_frame_answered(lines: tuple[list[FramePublisher], ResultSubscriber]) -> None:
    (publisher, _), subscriber = lines
    publisher.publish(np.ones((1, 1), np.uint16))
    refusal = subscriber.receive(20)
    publisher.publish(_frame((64, 64)))

    assert isinstance(refusal, Failure)
    assert refusal.code == "too_small"
    assert isinstance(subscriber.receive(20), Atoms)


def test_a_big_endian_double_frame_gives_the_same_atoms(lines: tuple[list[FramePublisher], ResultSubscriber]) -> None:
    (publisher, _), subscriber = lines
    image = 100 * dots((64, 80), [(20.0, 30.0), (44.5, 60.25)])
    found = []
    for dtype in ("<f4", ">f8"):
        publisher.publish(image.astype(dtype))
        answer = subscriber.receive(20)
        assert isinstance(answer, Atoms)
        found.append(answer.atoms)

    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
    assert len(found[0]) == 2


def test_who_counts_anew_in_an_old_session_is_told_that_its_frames_are_late(lines: tuple[list[FramePublisher], ResultSubscriber], quick: Launched) -> None:
    (publisher, _), subscriber = lines
    publisher.publish(_frame((64, 64)))
    publisher.publish(_frame((64, 64)))
    first, second = subscriber.receive(20), subscriber.receive(20)
    assert isinstance(first, Atoms)
    assert isinstance(second, Atoms)
    image = _frame((64, 64))
    header = {
        "schema": FRAME_SCHEMA,
        "source": "test/bad",
        "session": second.report.session,
        "channels": [{"name": "image", "dtype": "<u2", "shape": [64, 64]}],
    }
    again: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
    with again:
        again.connect(quick.frames)
        time.sleep(0.3)
        for seq in (second.report.seq, first.report.seq):
            again.send_multipart([b"test/bad", json.dumps({**header, "seq": seq}).encode(), image.tobytes()])
        answer = subscriber.receive(20)

    assert isinstance(answer, Failure)
    assert (answer.code, answer.session, answer.seq) == ("late", first.report.session, first.report.seq)
    assert f"after frame {second.report.seq} of its session" in answer.message


def test_two_publishers_of_one_source_are_told_apart_by_session(quick: Launched, lines: tuple[list[FramePublisher], ResultSubscriber]) -> None:
    publishers, subscriber = lines
    before = quick.control().status()["streams"].get("test/bad", {}).get("dropped", {})
    for k in range(10):
        publishers[k % 2].publish(_frame((64, 64)))
    answers = [subscriber.receive(20) for _ in range(10)]
    sessions = [answer.report.session for answer in answers if isinstance(answer, Atoms)]

    assert {sessions.count(publisher.session) for publisher in publishers} == {5}
    assert quick.control().status()["streams"]["test/bad"]["dropped"] == {"source_gap": 0, "queue": 0, "late": 0, "rejected": 0, **before}


def test_a_publisher_that_restarts_loses_nothing(quick: Launched, lines: tuple[list[FramePublisher], ResultSubscriber]) -> None:
    (publisher, _), subscriber = lines
    for _ in range(3):
        publisher.publish(_frame((64, 64)))
        assert isinstance(subscriber.receive(20), Atoms)
    publisher.close()
    before = quick.control().status()["streams"]["test/bad"]["dropped"]
    with FramePublisher("test/bad", quick.frames) as again:
        assert again.wait_for_reader()
        again.publish(_frame((64, 64)))
        answer = subscriber.receive(20)

    assert isinstance(answer, Atoms)
    assert (answer.report.session, answer.report.seq) == (again.session, 0)
    assert quick.control().status()["streams"]["test/bad"]["dropped"] == before


def test_a_partial_frame_is_passed_over_and_counted_apart(quick: Launched, lines: tuple[list[FramePublisher], ResultSubscriber]) -> None:
    (publisher, _), subscriber = lines
    publisher.publish(_frame((64, 64)), complete=False, valid_rows=(0, 10))
    publisher.publish(_frame((64, 64)))
    answer = subscriber.receive(20)

    assert isinstance(answer, Atoms)
    assert answer.report.seq == 1
    assert answer.report.dropped["source_gap"] == 0
    assert quick.control().status()["streams"]["test/bad"]["partial"] >= 1


def test_rows_that_an_aborted_scan_left_are_flagged(lines: tuple[list[FramePublisher], ResultSubscriber]) -> None:
    (publisher, _), subscriber = lines
    image = _frame((64, 64)).astype(np.float32)
    flags = []
    for empty in (0.0, np.nan):
        image[40:] = empty
        publisher.publish(image)
        answer = subscriber.receive(20)
        assert isinstance(answer, Atoms)
        assert (answer.atoms[:, 0] < 40.5).all()
        flags.append("rows_missing" in answer.report.flags)

    assert flags == [True, True]


def test_status_answers_under_many_single_frames_at_once(quick: Launched) -> None:
    image = dots((1500, 1500), [(100.0 * k, 90.0 * k) for k in range(1, 15)])
    outcomes: list[object] = []

    def ask() -> None:
        try:
            outcomes.append(quick.control().infer(image))
        except Exception as error:
            outcomes.append(error)

    askers = [threading.Thread(target=ask) for _ in range(24)]
    for asker in askers:
        asker.start()
    states = []
    while any(asker.is_alive() for asker in askers):
        states.append(quick.control().status()["engine"]["state"])
        time.sleep(0.02)
    for asker in askers:
        asker.join()

    assert set(states) == {"ready"}
    assert len(outcomes) == 24
    refused = [str(outcome) for outcome in outcomes if isinstance(outcome, Exception)]
    assert all("busy" in one for one in refused)
    assert len(refused) < 24


def test_several_sockets_and_a_chosen_channel(tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "b", normalization="robust")
    config = 'channel = "ADF"\npartial_frames = true\n[[frames]]\n[[frames]]\nendpoint = "tcp://{}"\nsocket = "pull"\npolicy = "block"\n'
    with (
        free_endpoints(1) as (pushed,),
        launched(tmp_path / "s", bundle=str(bundle.folder), config=config.format(pushed)) as service,
        FramePublisher("one", service.frames) as one,
        FramePublisher("two", f"tcp://{pushed}", socket="push") as two,
        ResultSubscriber(service.results, kinds=("atoms", "error")) as subscriber,
    ):
        assert one.wait_for_reader()
        assert two.wait_for_reader()
        time.sleep(0.3)
        one.publish({"HAADF": _frame((64, 64)), "ADF": _frame((72, 80))}, complete=False, valid_rows=(0, 32))
        first = subscriber.receive(20)
        two.publish({"ADF": _frame((80, 64))})
        second = subscriber.receive(20)
        one.publish({"HAADF": _frame((64, 64))})
        third = subscriber.receive(20)

    assert isinstance(first, Atoms)
    assert (first.report.source, first.report.channel, first.report.shape) == ("one", "ADF", (72, 80))
    assert "rows_missing" in first.report.flags
    assert isinstance(second, Atoms)
    assert second.report.source == "two"
    assert isinstance(third, Failure)
    assert third.code == "no_channel"
    assert "HAADF" in third.message
