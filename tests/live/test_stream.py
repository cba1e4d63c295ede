from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import zmq
from numpy.typing import NDArray
from streaming import streaming

from atomstream_client import Atoms, ControlClient, Event, Failure, FramePublisher, Maps, RequestFailed, ResultSubscriber
from atomstream_models.analysis import Answer, finish, infer, prepare
from atomstream_models.bundle import Bundle
from atomstream_models.metrics import score
from atomstream_models.runtime import load_ensemble
from atomstream_models.simulation import SimulatedMicroscope, labelled
from atomstream_service.demo import Launched


@dataclass
class Line:
    """A publisher and a subscriber that are connected to the service."""

    publisher: FramePublisher
    subscriber: ResultSubscriber

    def ask(self, image: object, count: int = 2, **about: object) -> list[object]:
        assert self.publisher.publish(image, **about)  # type: ignore[arg-type]
        return self.answers(count)

    def answers(self, count: int) -> list[object]:
        results = [self.subscriber.receive(30) for _ in range(count)]
        assert None not in results
        return list(results)


@pytest.fixture
def line(service: Launched) -> Iterator[Line]:
    with (
        FramePublisher("test/line", service.frames) as publisher,
        ResultSubscriber(service.results, source="test/line", kinds=("atoms", "maps", "error")) as subscriber,
    ):
        assert publisher.wait_for_reader()
        time.sleep(0.2)
        yield Line(publisher, subscriber)


def _offline(bundle: Bundle, image: NDArray[np.generic], pixel_nm: float) -> Answer:
    ensemble = load_ensemble(bundle)
    return finish(infer(prepare(image, (pixel_nm, pixel_nm), ensemble.card), ensemble.card, ensemble.card.member_ids, ensemble.answer), ensemble.card)


def _picture(control: ControlClient, layer: str) -> bytes | None:
    try:
        return control.latest_png(layer)
    except RequestFailed as error:
        if error.code != "no_layer":
            raise
        return None


def _seen_soon(control: ControlClient, layer: str) -> bool:
    """Whether the latest frame has a layer, which shadow members add a while after the frame's results are out."""
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        if _picture(control, layer):
            return True
        time.sleep(0.02)
    return False


def test_a_frame_gives_the_same_atoms_and_maps_live_over_rest_and_offline(service: Launched, line: Line, graphene: Bundle) -> None:
    truth = SimulatedMicroscope(17, (200, 264)).next_frame()
    atoms, maps = line.ask(truth.image, pixel_size=(truth.pixel_nm, truth.pixel_nm))
    offline = _offline(graphene, truth.image, truth.pixel_nm)
    rest = service.control().infer(truth.image, truth.pixel_nm, maps=True)

    assert isinstance(atoms, Atoms)
    assert isinstance(maps, Maps)
    assert offline.std is not None
    assert maps.std is not None
    np.testing.assert_allclose(atoms.atoms, offline.atoms, atol=1e-5)
    np.testing.assert_allclose(rest.atoms, offline.atoms, atol=1e-5)
    np.testing.assert_allclose(maps.mean, offline.mean, atol=1e-6)
    np.testing.assert_allclose(maps.std, offline.std, atol=1e-6)
    np.testing.assert_array_equal(rest.mean, maps.mean)
    assert score(atoms.atoms[:, :2], truth.atoms_yx, 0.35 * truth.neighbour_px, labelled(truth)).f1 > 0.98


def test_a_result_explains_itself(line: Line) -> None:
    image = SimulatedMicroscope(17, (128, 160)).next_frame().image
    atoms, maps = line.ask({"HAADF": image, "MAADF": image[::-1]}, frame=41, pixel_size=(10.4, 10.4), pixel_unit="pm", t_end=12.5, user={"operator": "kim"})

    assert isinstance(atoms, Atoms)
    assert isinstance(maps, Maps)
    report = atoms.report
    assert (report.session, report.frame, report.channel, report.shape) == (line.publisher.session, 41, "HAADF", (128, 160))
    assert (report.pixel_size, report.pixel_unit, report.t_end, report.user) == ((10.4, 10.4), "pm", 12.5, {"operator": "kim"})
    assert report.ensemble.name == "graphene"
    assert len(report.ensemble.sha256) == 64
    assert report.members_used == tuple(f"m{k:02d}" for k in range(8))
    assert report.members_total == 8
    assert report.classes == ("host", "impurity")
    assert report.flags == ("unselected",)
    assert set(report.latency_ms) == {"queue", "preprocess", "infer", "locate", "total"}
    assert report.latency_ms["total"] >= report.latency_ms["infer"] > 0
    assert set(report.dropped) == {"source_gap", "queue", "late", "rejected"}
    assert maps.report == report


def test_a_blank_frame_has_no_atoms_and_says_why(line: Line) -> None:
    atoms, maps = line.ask(np.full((64, 96), 5, np.uint16))

    assert isinstance(atoms, Atoms)
    assert isinstance(maps, Maps)
    assert atoms.atoms.shape == (0, 10)
    assert "blank" in atoms.report.flags
    assert atoms.report.members_used == ()
    assert maps.std is None


def test_a_frame_that_can_not_be_processed_is_answered_and_the_stream_goes_on(line: Line) -> None:
    bad = np.ones((64, 64), np.float32)
    bad[1, 2] = np.nan
    (failure,) = line.ask(bad, count=1)
    good = line.ask(np.random.default_rng(0).random((64, 64)).astype(np.float32))

    assert isinstance(failure, Failure)
    assert (failure.code, failure.session, failure.seq) == ("not_finite", line.publisher.session, 0)
    assert isinstance(good[0], Atoms)
    assert good[0].report.dropped["rejected"] >= 1


@pytest.mark.parametrize(("parts", "code"), [([b"x", b"{}", b""], "unknown_schema"), ([b"x"], "part_count"), ([b"x", b"\xff", b""], "bad_json")])
def test_what_is_no_frame_is_refused_by_name_and_counted(service: Launched, parts: list[bytes], code: str) -> None:
    before = service.control().status()["streams"].get("x", {}).get("dropped", {}).get("rejected", 0)
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
    with ResultSubscriber(service.results, kinds=("error",), source="x") as subscriber, socket:
        socket.connect(service.frames)
        time.sleep(0.5)
        socket.send_multipart(parts)
        failure = subscriber.receive(10)
        socket.close(linger=0)

    assert isinstance(failure, Failure)
    assert failure.code == code
    assert service.control().status()["streams"]["x"]["dropped"]["rejected"] == before + 1


def test_one_frame_over_rest_lets_the_stream_go_on(service: Launched) -> None:
    image = np.random.default_rng(0).integers(0, 900, (128, 128)).astype(np.uint16)
    with streaming(service.frames, service.results, shape=(128, 128)) as stream:
        stream.wait_for(2)
        for _ in range(5):
            service.control().infer(image)
        stream.wait_for(len(stream.answers) + 3)

    assert stream.unanswered == 0


def test_every_result_after_a_toggles_answer_carries_it(service: Launched) -> None:
    control = service.control("test")
    members_at: dict[int, set[str]] = {}
    answered_at: list[tuple[float, int]] = []
    start = control.members()
    members_at[start["generation"]] = {one["id"] for one in start["members"] if one["state"] == "enabled"}
    with streaming(service.frames, service.results, shape=(128, 128)) as stream:
        stream.wait_for(3)
        for k in range(40):
            state = "disabled" if k % 2 == 0 else "enabled"
            generation = control.set_member(f"m{k // 2 % 8:02d}", state, "toggle")
            answered_at.append((time.time(), generation))
            members_at[generation] = {one["id"] for one in control.members()["members"] if one["state"] == "enabled"}
        stream.wait_for(len(stream.answers) + 3)

    assert stream.unanswered == 0
    assert stream.failures == []
    assert len(set(members_at)) == 41
    for answer in stream.answers:
        report = answer.report
        assert set(report.members_used) == members_at[report.ensemble.generation]
        assert all(report.ensemble.generation >= generation for t, generation in answered_at if report.t_done > t)


def test_a_toggle_is_announced_as_an_event(service: Launched) -> None:
    with ResultSubscriber(service.results, kinds=("event",)) as subscriber:
        time.sleep(0.3)
        generation = service.control("kim").set_member("m01", "disabled", "foggy")
        event = subscriber.receive(10)
        service.control("kim").set_member("m01", "enabled")

    assert isinstance(event, Event)
    assert event.kind == "member"
    assert event.body["generation"] == generation
    assert (event.body["actor"], event.body["reason"]) == ("kim", "foggy")


def test_one_member_alone_gives_no_std(service: Launched, line: Line) -> None:
    control: ControlClient = service.control("test")
    control.choose_members(["m02"])
    atoms, maps = line.ask(SimulatedMicroscope(17, (128, 160)).next_frame().image)
    control.choose_members([f"m{k:02d}" for k in range(8)])

    assert isinstance(atoms, Atoms)
    assert isinstance(maps, Maps)
    assert maps.std is None
    assert "single_member" in atoms.report.flags
    assert np.isnan(atoms.atoms[:, 4]).all()


def test_a_shadow_member_never_counts_but_is_seen(service: Launched, line: Line) -> None:
    control = service.control("test")
    control.set_member("m03", "shadow")
    image = SimulatedMicroscope(17, (128, 160)).next_frame().image
    used = {answer.report.members_used for _ in range(12) for answer in line.ask(image) if isinstance(answer, Atoms)}
    seen = any(line.ask(image) and _seen_soon(control, "member:m03") for _ in range(40))
    control.set_member("m03", "enabled")

    assert all("m03" not in members for members in used)
    assert seen
