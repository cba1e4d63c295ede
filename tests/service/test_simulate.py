"""`atomstream simulate` through real sockets; a service in memory writes down what comes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import zmq

from atomstream_client.testing import answering
from atomstream_models.simulation import SimulatedMicroscope
from atomstream_service.cli import main
from atomstream_service.demo import free_endpoints
from atomstream_wire import Frame, Result, decode_frame


class _Notes:
    """Frames that came."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def __call__(self, frame: Frame) -> list[Result]:
        self.frames.append(frame)
        return []

    def wait_for(self, count: int) -> list[Frame]:
        deadline = time.monotonic() + 60
        while len(self.frames) < count:
            assert time.monotonic() < deadline, f"{len(self.frames)} of {count} frames came"
            time.sleep(0.01)
        return self.frames


def test_frames_are_those_of_the_simulated_microscope_with_their_pixel_size() -> None:
    notes = _Notes()
    with answering(notes) as (frames, _):
        code = main(
            ["simulate", "--to", frames, "--material", "perovskite", "--side", "128", "--count", "3", "--fps", "50", "--seed", "5", "--source", "my/scope"]
        )
        came = notes.wait_for(3)

    assert code == 0
    movie = SimulatedMicroscope(5, (128, 128), material="perovskite", mild=100)
    for k, one in enumerate(came):
        np.testing.assert_array_equal(one.channels["image"], movie.next_frame().image)
        assert (one.source, one.frame, one.pixel_size) == ("my/scope", k, (0.02, 0.02))


def test_conditions_get_worse_only_where_that_is_asked_for() -> None:
    def contrast(*flags: str) -> float:
        notes = _Notes()
        with answering(notes) as (frames, _):
            assert main(["simulate", "--to", frames, "--side", "96", "--count", "14", "--fps", "200", *flags]) == 0
            last = notes.wait_for(14)[-1].channels["image"].astype(float)
        return float(last.std())

    # A tenth of the dose is left.
    assert contrast("--drift", "6") < 0.6 * contrast()


def test_it_waits_for_a_service_streams_until_it_is_told_to_end_and_says_how_much() -> None:
    with free_endpoints(1) as (frames,), zmq.Context() as context, context.socket(zmq.SUB) as reader:
        command = [sys.executable, "-m", "atomstream_service", "simulate", "--to", f"tcp://{frames}", "--side", "64", "--fps", "20"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == f"waiting for a service at tcp://{frames}\n"
            reader.subscribe(b"")
            reader.bind(f"tcp://{frames}")
            came = [decode_frame(reader.recv_multipart()) for _ in range(5)]
            process.send_signal(signal.SIGTERM)
            said = process.stdout.read()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.communicate()
    assert [one.seq for one in came] == [0, 1, 2, 3, 4]
    assert f"streaming to tcp://{frames}" in said
    sent = re.search(r"sent (\d+) frames, 0 dropped", said)
    assert sent is not None
    assert int(sent[1]) >= 5


@pytest.mark.parametrize(
    ("flags", "named"), [(("--fps", "0"), "--fps"), (("--side", "7"), "--side"), (("--drift", "0"), "--drift"), (("--seed", "-1"), "--seed")]
)
def test_what_can_not_be_simulated_is_said(flags: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *flags]) == 1
    assert named in capsys.readouterr().err
