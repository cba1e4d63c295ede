"""One service that hears six streams, each in a format of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import foreign
import numpy as np
import pytest
import zmq
from conftest import dots, make_plain_bundle
from karabo_bridge import ServerInThread
from waiting import until

from atomstream_client import Atoms, Failure, FramePublisher, ResultSubscriber
from atomstream_service.demo import free_endpoints, launched

CENTRE = (20.0, 44.0)
IMAGE = np.round(dots((56, 72), [CENTRE])).astype("<u2")
SETTINGS = """
[[frames]]

[[frames]]
endpoint = "{}"
socket = "pull"
attach = "connect"
policy = "block"
format = "dectris-stream-v2"
source = "ela"
pixel_size_nm = 0.0104

[[frames]]
endpoint = "{}"
attach = "connect"
policy = "queue"
format = "stem.thinned.v1"

[[frames]]
endpoint = "{}"
policy = "queue"
format = "array-1.0"

[[frames]]
endpoint = "{}"
attach = "connect"
policy = "queue"
format = "odin-live-view"

[[frames]]
endpoint = "{}"
socket = "req"
attach = "connect"
policy = "queue"
format = "karabo-bridge"
"""


@pytest.fixture
def places() -> Iterator[list[str]]:
    with free_endpoints(5) as found:
        yield [f"tcp://{one}" for one in found]


def test_frames_of_every_format_are_answered_by_one_service_and_malformed_ones_are_named(tmp_path: Path, places: list[str]) -> None:
    make_plain_bundle(tmp_path / "plain")
    detector, viewer, camera, odin, karabo = places
    with ExitStack() as stack:

        def socket(kind: int, place: str, binds: bool) -> zmq.Socket[bytes]:
            made: zmq.Socket[bytes] = stack.enter_context(zmq.Context.instance().socket(kind))
            made.linger = 0
            (made.bind if binds else made.connect)(place)
            return made

        push, thin, live = socket(zmq.PUSH, detector, True), socket(zmq.XPUB, viewer, True), socket(zmq.XPUB, odin, True)
        bridge = stack.enter_context(ServerInThread(karabo))
        config = SETTINGS.format(*places)
        service = stack.enter_context(launched(tmp_path / "state", bundle=str(tmp_path / "plain" / "bundle"), config=config))
        results = stack.enter_context(ResultSubscriber(service.results, kinds=("atoms", "error")))
        own = stack.enter_context(FramePublisher("nion/usim", service.frames))
        ad = socket(zmq.XPUB, camera, False)
        for one in (thin, live, ad):
            assert one.poll(20_000)
            one.recv()
        assert own.wait_for_reader()

        def answers(count: int) -> list[Atoms | Failure]:
            return [found for found in (results.receive(20.0) for _ in range(count)) if isinstance(found, Atoms | Failure)]

        until(lambda: (own.publish(IMAGE), results.receive(0.3))[1], lambda found: found is not None)  # from now on, answers are heard
        while results.receive(0.5) is not None:
            pass
        push.send_multipart(foreign.dectris_start({"threshold_1": IMAGE}))
        push.send_multipart(foreign.dectris_image({"threshold_1": IMAGE}, 0, compression="bslz4"))
        thin.send_multipart(foreign.thinned({"sum": IMAGE.astype("<f4")}))
        ad.send_multipart(foreign.array(IMAGE.astype(">u4")))
        live.send_multipart(foreign.odin(IMAGE))
        bridge.feed({"STEM/CAM": {"data": IMAGE}}, {"STEM/CAM": {"timestamp.tid": 5}})
        good = answers(5)
        junk = [b"\x80\x04cos\nsystem\n", b"junk"]
        for one in (push, thin, ad, live):
            one.send_multipart(junk)
        bad = answers(4)
        push.send_multipart(foreign.dectris_image({"threshold_1": IMAGE}, 3))
        (after,) = answers(1)
        streams = service.control().status()["streams"]

    names = ["array", "ela", "karabo", "odin/data", "stem/rx/0/corrected"]
    found = {one.report.source: one for one in good if isinstance(one, Atoms)}
    assert sorted(found) == names
    for answer in found.values():
        assert answer.report.shape == (56, 72)
        assert np.abs(answer.atoms[:, :2] - CENTRE).max() < 0.5
    assert (found["ela"].report.pixel_size, found["array"].report.pixel_size) == ((0.0104, 0.0104), None)
    assert {one.source: one.code for one in bad if isinstance(one, Failure)} == {
        "ela": "part_count",
        "stem/rx": "part_count",
        "array": "bad_json",
        "odin": "bad_json",
    }
    assert isinstance(after, Atoms)
    assert after.report.dropped == {"source_gap": 2, "queue": 0, "late": 0, "rejected": 1}
    assert streams["odin"]["dropped"]["rejected"] == 1


def test_a_service_without_the_package_of_a_format_says_so_at_once(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[[frames]]\nformat = "karabo-bridge"\n')
    blocked = "import sys; sys.modules['msgpack'] = None; from atomstream_service.cli import main; sys.exit(main(['serve', '--config', sys.argv[1]]))"

    ended: Any = subprocess.run([sys.executable, "-c", blocked, str(settings)], check=False, env=os.environ, capture_output=True, text=True, timeout=120)

    assert ended.returncode not in (0, None)
    assert "msgpack (for frames of format karabo-bridge), which is not installed: pip install 'atomstream[streams]'" in ended.stderr
