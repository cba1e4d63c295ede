from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_plain_bundle
from numpy.typing import NDArray
from streaming import streaming
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from atomstream_service.demo import Launched, launched


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("live")
    with launched(folder / "state", bundle=str(make_plain_bundle(folder / "bundle").folder)) as running:
        yield running


class Frame:
    """A binary message, taken apart as the page does it."""

    def __init__(self, message: bytes) -> None:
        size = int.from_bytes(message[:4], "little")
        self.header: dict[str, Any] = json.loads(message[4 : 4 + size])
        data = message[4 + size :]
        parts = [data[offset : offset + length] for offset, length in self.header["parts"]]
        self.atoms: NDArray[np.float32] = np.frombuffer(parts[0], np.float32).reshape(-1, 10)
        self.pictures = {
            (one["use"], one["name"]): np.frombuffer(part, np.uint8).reshape(one["shape"])
            for one, part in zip(self.header["pictures"], parts[1:], strict=False)
        }
        shown = len(self.header["pictures"])
        self.seen: NDArray[np.uint8] = (
            np.frombuffer(parts[1 + shown], np.uint8).reshape(-1, len(self.atoms)) if parts[1 + shown :] else np.empty((0, 0), np.uint8)
        )
        self.aligned = (4 + size) % 4 == 0 and all(offset % 4 == 0 for offset, _ in self.header["parts"])


class Page:
    """What a browser does with the socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def ask(self, **view: Any) -> None:
        frame = view.pop("frame", None)
        self._socket.send(json.dumps({"kind": "view", "view": view, "frame": frame}))

    def say(self, text: str) -> None:
        self._socket.send(text)

    def frame(self) -> Frame:
        while True:
            message = self._socket.recv(timeout=30)
            if isinstance(message, bytes):
                return Frame(message)

    def told(self, kind: str) -> dict[str, Any]:
        while True:
            message = self._socket.recv(timeout=30)
            if isinstance(message, str) and json.loads(message)["kind"] == kind:
                return dict(json.loads(message))


@contextmanager
def page_of(service: Launched, **options: Any) -> Iterator[Page]:
    with connect(service.url.replace("http", "ws") + "/v1/live", max_size=None, **options) as socket:
        yield Page(socket)


def test_a_page_is_greeted_told_how_things_stand_and_shown_frames_as_they_come(service: Launched) -> None:
    with streaming(service.frames, service.results, shape=(128, 160)) as stream, page_of(service) as page:
        stream.wait_for(1)
        assert page.told("hello")["schema"] == "atomstream.live.v1"
        state = page.told("state")
        page.ask(layers=["frame", "mean", "std"], thumbs=["member:m00", "member:m01"], thumb_px=32)
        first, later = page.frame(), page.frame()

    assert set(state["status"]["members"]) == {"m00", "m01"}
    assert later.header["report"]["seq"] > first.header["report"]["seq"]
    assert later.aligned
    assert later.atoms.shape == (later.header["atoms"], 10)
    assert later.header["atoms"] > 0
    assert {name: picture.shape for name, picture in later.pictures.items()} == {
        ("layer", "frame"): (128, 160),
        ("layer", "mean"): (128, 160),
        ("layer", "std"): (128, 160),
        ("thumb", "member:m00"): (26, 32),
        ("thumb", "member:m01"): (26, 32),
    }
    y, x = np.rint(later.atoms[0, :2]).astype(int)
    assert later.pictures["layer", "mean"][y, x] == pytest.approx(255 * later.atoms[0, 3], abs=2)


def test_a_region_is_cut_out_in_full_resolution_and_a_large_one_made_small(service: Launched) -> None:
    with streaming(service.frames, service.results, shape=(128, 160)) as stream, page_of(service) as page:
        stream.wait_for(1)
        page.ask(layers=["frame"], region=[100, 140, 500, 170])
        cut = page.frame()
        page.ask(layers=["frame"], longest_px=40)
        small = page.frame()
        while small.header["region"] != [0, 0, 128, 160]:
            small = page.frame()

    assert cut.header["region"] == [100, 140, 128, 160]
    assert cut.pictures["layer", "frame"].shape == (28, 20)
    assert small.pictures["layer", "frame"].shape == (32, 40)


def test_a_frame_of_the_ring_is_shown_with_its_maps_while_the_stream_goes_on_and_one_that_is_gone_is_refused(service: Launched) -> None:
    with streaming(service.frames, service.results, shape=(128, 160)) as stream, page_of(service) as page:
        stream.wait_for(4)
        answer = stream.answers[0]
        page.ask(layers=["frame", "mean"], frame=[answer.report.session, answer.report.seq])
        kept = page.frame()
        page.ask(frame=[answer.report.session, 10**6])
        refused = page.told("refused")

    report = kept.header["report"]
    assert (report["session"], report["seq"], report["ensemble"]["generation"]) == (
        answer.report.session,
        answer.report.seq,
        answer.report.ensemble.generation,
    )
    assert (kept.header["live"], kept.header["again"]) == (False, False)
    np.testing.assert_array_equal(kept.atoms, answer.atoms)
    y, x = np.rint(kept.atoms[0, :2]).astype(int)
    assert kept.pictures["layer", "mean"][y, x] == pytest.approx(255 * kept.atoms[0, 3], abs=2)
    assert refused["code"] == "no_frame"


def test_a_frame_of_the_ring_is_answered_again_once_members_have_changed(service: Launched) -> None:
    control = service.control("somebody")
    with streaming(service.frames, service.results, shape=(128, 160)) as stream, page_of(service) as page:
        stream.wait_for(4)
        report = stream.answers[0].report
        generation = control.set_member("m01", "disabled", "to see")
        page.ask(layers=["frame"], thumbs=["member:m00"], frame=[report.session, report.seq])
        now = page.frame()
        page.ask(layers=["frame"], frame=[report.session, report.seq])
        then = page.frame()
        control.set_member("m01", "enabled", "seen")

    assert (now.header["again"], now.header["report"]["members_used"], now.header["report"]["ensemble"]["generation"]) == (True, ["m00"], generation)
    assert now.header["report"]["t_recv"] == report.t_recv
    assert list(now.header["votes"]) == ["m00"]
    assert (then.header["again"], then.header["report"]["members_used"]) == (False, list(report.members_used))


def test_who_sees_which_atom_adds_up_to_the_atoms_votes(service: Launched) -> None:
    with streaming(service.frames, service.results, shape=(128, 160)) as stream, page_of(service) as page:
        stream.wait_for(1)
        page.ask(layers=["frame"], seen=True)
        frame = page.frame()

    assert list(frame.header["votes"]) == ["m00", "m01"]
    assert len(frame.atoms) > 0
    np.testing.assert_array_equal(frame.seen.sum(axis=0), frame.atoms[:, 5])
    assert [int(one.sum()) for one in frame.seen] == [*frame.header["votes"].values()]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("nonsense", "the message"),
        ('{"kind": "view", "fps": 1000}', "fps"),
        ('{"kind": "view", "view": {"region": [1, 2]}}', "view.region"),
        ('{"kind": "x"}', "the message: Input tag 'x'"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_and_the_page_goes_on(service: Launched, text: str, where: str) -> None:
    with page_of(service) as page:
        page.say(text)
        refused = page.told("refused")
        page.ask(layers=["frame"])
        assert page.told("state")["status"]["engine"]["state"] == "ready"

    assert refused["code"] == "bad_message"
    assert refused["message"].startswith(where)


def test_all_pages_hear_of_a_change_and_of_an_engine_that_dies_and_comes_back(service: Launched) -> None:
    control = service.control("somebody")
    with streaming(service.frames, service.results, shape=(128, 160), patience_s=1.0) as stream, page_of(service) as one, page_of(service) as other:
        stream.wait_for(1)
        generation = control.set_member("m01", "disabled", "to see")
        for page in (one, other):
            while page.told("state")["status"]["members"]["m01"]["state"] != "disabled":
                pass
        one.ask(layers=["mean"])
        while (frame := one.frame()).header["report"]["ensemble"]["generation"] < generation:
            pass
        assert frame.header["report"]["members_used"] == ["m00"]

        os.kill(control.status()["engine"]["pid"], signal.SIGKILL)
        while other.told("state")["status"]["engine"]["state"] == "ready":
            pass
        while other.told("state")["status"]["engine"]["state"] != "ready":
            pass
        assert one.frame().header["report"]["members_used"] == ["m00"]
    control.set_member("m01", "enabled", "seen")


def test_a_page_that_does_not_keep_up_is_shown_the_newest_frame_and_holds_nobody_up(service: Launched) -> None:
    with streaming(service.frames, service.results, shape=(512, 512)) as stream, page_of(service, max_queue=1) as page:
        stream.wait_for(1)
        page.ask(layers=["frame", "mean", "std"], thumbs=["frame", "mean", "member:m00", "member:m01"], thumb_px=512)
        page.frame()
        at = len(stream.answers)
        stream.wait_for(at + 120)
        sent = stream.answers[-1].report.seq
        seen = [page.frame().header["report"]["seq"]]
        while seen[-1] < sent:
            seen.append(page.frame().header["report"]["seq"])

    assert stream.unanswered == 0
    assert seen == sorted(set(seen))
    assert len(seen) < 60


def test_strangers_and_foreign_pages_are_not_let_in(tmp_path: Path) -> None:
    bundle = str(make_plain_bundle(tmp_path / "bundle").folder)
    with launched(tmp_path / "state", bundle=bundle, config='access = "token"') as service:
        with pytest.raises(InvalidStatus), page_of(service):
            pass
        with pytest.raises(InvalidStatus), page_of(service, subprotocols=["atomstream.v1", "bearer.nonsense"]):
            pass
    with launched(tmp_path / "open", bundle=bundle) as service, pytest.raises(InvalidStatus), page_of(service, origin="http://elsewhere.example"):
        pass
