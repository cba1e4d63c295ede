"""Scans that still run, followed as their lines arrive: over real sockets, against the same frames looked at whole."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from streaming import simulated_images
from waiting import until

from atomstream_client import Atoms, FramePublisher, Maps, ResultSubscriber
from atomstream_models.analysis import finish
from atomstream_models.bundle import Bundle
from atomstream_models.metrics import match
from atomstream_models.runtime import load_ensemble, look
from atomstream_service.demo import Launched, launched

_SETTINGS = 'runtime = "onnxruntime"\nwarm_shapes = [[256, 256]]\ntrial_frames = 0\nstrip_rows = 16\n'
_PIXEL = (0.0104, 0.0104)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with launched(tmp_path_factory.mktemp("scans"), config=_SETTINGS) as running:
        yield running


@pytest.fixture
def line(service: Launched) -> Iterator[tuple[FramePublisher, ResultSubscriber]]:
    with FramePublisher("scope", service.frames) as publisher, ResultSubscriber(service.results, kinds=("atoms", "maps")) as results:
        assert publisher.wait_for_reader()
        time.sleep(0.3)
        yield publisher, results


def _publish_rows(publisher: FramePublisher, image: NDArray[np.uint16], number: int, until_row: int) -> None:
    for rows in range(64, until_row + 1, 64):
        partial = np.zeros_like(image)
        partial[:rows] = image[:rows]
        publisher.publish(partial, frame=number, complete=False, valid_rows=(0, rows), pixel_size=_PIXEL)
        time.sleep(0.1)


def _complete(line: tuple[FramePublisher, ResultSubscriber], image: NDArray[np.uint16], number: int) -> tuple[Atoms, Maps]:
    publisher, results = line
    publisher.publish(image, frame=number, pixel_size=_PIXEL)
    atoms, maps = results.receive(20), results.receive(20)
    assert isinstance(atoms, Atoms)
    assert isinstance(maps, Maps)
    assert atoms.report.frame == maps.report.frame == number
    return atoms, maps


def _scans(service: Launched) -> tuple[int, int]:
    scans = service.control().status()["scans"]
    return scans["followed"], scans["whole"]


def test_a_scan_that_was_followed_is_answered_like_a_whole_frame(service: Launched, line: tuple[FramePublisher, ResultSubscriber], graphene: Bundle) -> None:
    first, second = simulated_images(2)
    before = _scans(service)
    _complete(line, first, 1)
    _publish_rows(line[0], second, 2, 256)
    atoms, maps = _complete(line, second, 2)
    (wanted,) = (finish(one, graphene.card) for one in look(load_ensemble(graphene, "cpu"), [second], 0.0104))
    i, _ = match(atoms.atoms[:, :2], wanted.atoms[:, :2], 0.2)

    assert _scans(service) == (before[0] + 1, before[1])
    assert len(i) == len(atoms.atoms) == len(wanted.atoms)
    assert maps.std is not None
    assert wanted.std is not None
    assert np.abs(maps.mean - wanted.mean).max() < 0.05
    assert np.abs(maps.std - wanted.std).mean() < 1e-3


def test_a_member_taken_out_while_the_scan_runs_is_not_in_its_answer(service: Launched, line: tuple[FramePublisher, ResultSubscriber]) -> None:
    first, second = simulated_images(2)
    before = _scans(service)
    _complete(line, first, 3)
    _publish_rows(line[0], second, 4, 192)
    control = service.control()
    control.set_member("m03", "disabled", "drifted")
    atoms, _ = _complete(line, second, 4)
    control.set_member("m03", "enabled", "back")

    assert "m03" not in atoms.report.members_used
    assert len(atoms.report.members_used) == 7
    assert _scans(service) == (before[0] + 1, before[1])


def test_a_frame_that_is_not_the_one_that_was_followed_is_looked_at_whole(
    service: Launched, line: tuple[FramePublisher, ResultSubscriber], graphene: Bundle
) -> None:
    first, second = simulated_images(2)
    before = _scans(service)
    _complete(line, first, 5)
    _publish_rows(line[0], first, 6, 128)
    until(lambda: service.control().status()["streams"]["scope"]["partial"], lambda partial: partial >= 2)
    atoms, _ = _complete(line, second, 6)
    (wanted,) = (finish(one, graphene.card) for one in look(load_ensemble(graphene, "cpu"), [second], 0.0104))

    assert _scans(service) == (before[0], before[1] + 1)
    assert len(match(atoms.atoms[:, :2], wanted.atoms[:, :2], 0.2)[0]) == len(atoms.atoms) == len(wanted.atoms)
