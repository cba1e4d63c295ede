"""Nion's simulated microscope, our plug-in as it is installed, the real service, atoms."""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import zmq
from conftest import ROOT
from nion_python import NionPython, nion_python
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from atomstream_client import Atoms, Failure, ResultSubscriber
from atomstream_models.metrics import score
from atomstream_service.demo import Launched, launched
from atomstream_wire import Frame, decode_frame
from nionswift_plugin.atomstream import ScanGeometry
from simulated_specimen import BOND_NM, LatticeSpecimen

DRIVER = ROOT / "tests" / "nion" / "driver.py"
SOURCE = "nion/usim_scan_device"
MATCH_NM = 0.35 * BOND_NM
EDGE_NM = 0.06
CONFIG = """
partial_frames = true
warm_shapes = [[256, 256]]
[[frames]]
policy = "queue"
depth = 128
"""


@pytest.fixture(scope="module")
def nion(tmp_path_factory: pytest.TempPathFactory) -> NionPython:
    return nion_python(tmp_path_factory.mktemp("nion"))


class Streamed(NamedTuple):
    """What the plug-in sent (`frames`) or the service answered (`answers`), and what was done with the scan (`said`)."""

    said: dict[str, Any]
    frames: list[Frame]
    answers: list[Atoms]
    status: dict[str, Any]

    def between(self, begin: str, end: str) -> list[Frame]:
        """Frames of complete scans that ended between two marks."""
        complete = [frame for frame in self.frames if frame.complete]
        return complete[self.said[begin] : self.said[end]]


def _heard(nion: NionPython, scenario: str) -> Streamed:
    """Run a scenario against a bare socket in the place of the service."""
    frames: list[Frame] = []
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        socket.subscribe(b"")
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        process = nion.start(DRIVER, scenario, f"tcp://127.0.0.1:{port}", "tcp://127.0.0.1:9")
        # What the driver prints at its end fits into a pipe that nobody reads meanwhile.
        while process.poll() is None or socket.poll(0):
            if socket.poll(100):
                frames.append(decode_frame(socket.recv_multipart()))
        return Streamed(nion.finish(process), frames, [], {})


@pytest.fixture(scope="module")
def traps(nion: NionPython) -> Streamed:
    return _heard(nion, "traps")


@pytest.fixture(scope="module")
def builtin(nion: NionPython) -> Streamed:
    return _heard(nion, "builtin")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """The shipped ensemble, which loses no frame and looks at scans that were cut short, too."""
    with launched(tmp_path_factory.mktemp("service") / "state", config=CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def show(nion: NionPython, service: Launched) -> Streamed:
    """The phases of the driver, answered by the service."""
    with ResultSubscriber(service.results, kinds=("atoms", "error"), source=SOURCE) as results:
        answers: list[Atoms] = []
        failures: list[Failure] = []
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                result = results.receive(0.1)
                if isinstance(result, Atoms):
                    answers.append(result)
                elif isinstance(result, Failure):
                    failures.append(result)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            said = nion.finish(nion.start(DRIVER, "phases", service.frames, service.results))
        finally:
            stop.set()
            reader.join()
        assert not failures, failures
        return Streamed(said, [], answers, service.control().status()["streams"][SOURCE])


def _in_nm(answer: Atoms) -> ScanGeometry:
    return ScanGeometry.from_json(answer.report.vendor["geometry"])


def _phase(answer: Atoms) -> str:
    """What the scan did when it recorded this frame, told from the answer alone."""
    geometry, nion = _in_nm(answer), answer.report.vendor["nion"]
    if "subscan_fractional_size" in nion["scan"]:
        return "subscan"
    if geometry.shape[0] != geometry.shape[1]:
        return "slower" if nion["hardware_source"]["pixel_time_us"] > 1 else "non-square"
    return "rotation" if geometry.rotation_rad else "field of view" if geometry.fov_nm[0] > 4 else "start"


def _within(yx_px: NDArray[np.float64], shape: tuple[int, int], margin: float) -> NDArray[np.bool_]:
    """Which positions are in the frame by a margin."""
    last = np.array(shape) - 1 - margin
    return np.asarray(np.all((yx_px > margin) & (yx_px < last), axis=1))


def _complete(show: Streamed) -> list[Atoms]:
    return [answer for answer in show.answers if not answer.report.vendor["cut_short"]]


def _placed(frame: Frame) -> ScanGeometry:
    return ScanGeometry.from_json(frame.vendor["geometry"])


def _agreement(view: Frame, overview: Frame, placed: ScanGeometry | None = None) -> float:
    """Correlation of a scan with what the overview shows at the same places in nm, both smoothed."""
    geometry = placed or _placed(view)
    image = gaussian_filter(view.channels["HAADF"], 3)
    pixels = np.moveaxis(np.mgrid[: image.shape[0], : image.shape[1]], 0, -1).reshape(-1, 2)
    wide = _placed(overview)
    smooth = gaussian_filter(overview.channels["HAADF"], 3 * geometry.pixel_size_nm[0] / wide.pixel_size_nm[0])
    there = map_coordinates(smooth, wide.to_px(geometry.to_nm(pixels)).T, order=1, mode="nearest")
    return float(np.corrcoef(image.ravel(), there)[0, 1])


def test_every_scan_is_answered_or_its_loss_is_counted(show: Streamed) -> None:
    counts = show.said["counts"][SOURCE]
    lost = show.status["dropped"]

    assert counts["scans"] == len(show.said["scans"]) + sum(one["announced"] == 0 for one in show.said["aborted"])
    assert counts["scans"] >= 60
    assert counts["sent"] + counts["dropped"] + counts["failed"] == counts["scans"]
    assert counts["failed"] == 0
    assert show.status["received"] == counts["sent"]
    assert show.status["answered"] + sum(lost[where] for where in ("queue", "late", "rejected")) == counts["sent"]
    assert lost["source_gap"] <= counts["dropped"]
    print(f"scans {counts}, the service: received {show.status['received']}, answered {show.status['answered']}, dropped {lost}; {show.said['seconds']:.1f} s")
    assert [one.report.seq for one in show.answers] == sorted({one.report.seq for one in show.answers})
    assert len(show.answers) == show.status["answered"]


def test_atoms_are_where_the_specimen_has_them_whatever_the_scan_does(show: Streamed) -> None:
    specimen = LatticeSpecimen()
    f1: dict[str, list[float]] = defaultdict(list)
    errors_pm: dict[str, list[float]] = defaultdict(list)
    for answer in _complete(show):
        geometry = _in_nm(answer)
        in_frame = geometry.to_px(specimen.atoms_nm)
        margin = EDGE_NM / geometry.pixel_size_nm[0]
        near, required = _within(in_frame, geometry.shape, -margin), _within(in_frame, geometry.shape, margin)
        found = score(geometry.to_nm(answer.atoms[:, :2]), specimen.atoms_nm[near], MATCH_NM, required[near])
        f1[_phase(answer)].append(found.f1)
        errors_pm[_phase(answer)].append(1000 * found.rmse_px)
    for phase, scores in f1.items():
        print(f"{phase:14s} {len(scores):3d} frames, F1 {np.mean(scores):.4f}, lowest {min(scores):.4f}, error {np.mean(errors_pm[phase]):.1f} pm")

    assert set(f1) == {"start", "field of view", "rotation", "subscan", "non-square", "slower"}
    assert {phase: float(np.mean(scores)) for phase, scores in f1.items() if np.mean(scores) < 0.95} == {}
    assert min(min(scores) for scores in f1.values()) > 0.9


def test_frames_outside_the_ensembles_pixel_sizes_say_that_they_were_rescaled(show: Streamed) -> None:
    coarse = [answer for answer in _complete(show) if _phase(answer) == "field of view"]

    assert coarse
    assert all("rescaled" in answer.report.flags and answer.report.pixel_size == pytest.approx((5 / 256, 5 / 256)) for answer in coarse)


def test_a_scan_that_was_aborted_is_answered_with_a_flag_and_only_for_its_rows(show: Streamed) -> None:
    aborted = [answer for answer in show.answers if answer.report.vendor["cut_short"]]

    assert len(aborted) == 2
    for answer in aborted:
        assert {"rows_missing", "blank"} & set(answer.report.flags)
        scanned = answer.report.vendor["rows"]
        assert scanned < answer.report.shape[0]
        assert (answer.atoms[:, 0] < scanned + 4).all()
        print(f"aborted: {scanned} of {answer.report.shape[0]} rows, flags {answer.report.flags}, {len(answer.atoms)} atoms")
    assert len(aborted[0].atoms) > 20


def test_atoms_come_back_into_a_document_of_swifts(show: Streamed) -> None:
    (item,) = show.said["items"]

    assert item["title"] == f"Atoms: {SOURCE}"
    assert item["shape"][2] == 3
    assert item["dtype"] == "uint8"
    assert item["coloured"] > 0
    assert item["about"]["flags"]
    assert item["about"]["ensemble"].startswith("graphene ")
    assert item["about"]["scans"]["sent"] > 0


def test_atoms_are_shown_in_whatever_project_is_open(nion: NionPython) -> None:
    said = nion.finish(nion.start(DRIVER, "switched"))

    assert said["titles"] == [[f"Atoms: {SOURCE}"]] * 2
    assert said["searched"] == 2  # Swift takes its time for it, and its windows stand still meanwhile


def test_the_plug_in_needs_nothing_of_ours_but_the_client(show: Streamed, traps: Streamed) -> None:
    assert show.said["ours"] == traps.said["ours"] == ["atomstream_client", "atomstream_wire"]


def test_all_channels_of_a_scan_come_in_one_message_bit_by_bit(traps: Streamed) -> None:
    complete = [frame for frame in traps.frames if not frame.vendor["cut_short"]]
    announced = [scan for scan in traps.said["scans"] if not scan["aborted"]]

    assert len(complete) == len(announced)
    for frame, scan in zip(complete, announced, strict=True):
        assert list(frame.channels) == ["HAADF", "MAADF"]
        sent = [hashlib.sha256(image.tobytes()).hexdigest() for image in frame.channels.values()]
        assert sent == [scan["sha256"]["a"], scan["sha256"]["b"]]


def test_seq_goes_on_where_the_instruments_own_numbers_begin_anew(traps: Streamed) -> None:
    first, second = traps.between("first start", "second start"), traps.between("second start", "fov change")

    assert [frame.seq for frame in traps.frames] == list(range(len(traps.frames)))
    assert first[0].frame == second[0].frame == 0
    assert len({frame.session for frame in traps.frames}) == 1


def test_an_identifier_that_is_new_with_every_scan_is_no_series(traps: Streamed) -> None:
    ids = [scan["scan_id"] for scan in traps.said["scans"]]

    assert len(set(ids)) == len(ids)
    assert {frame.series for frame in traps.frames if frame.channels["HAADF"].shape != (32, 40)} == {None}  # that one was recorded, not viewed


def test_every_frame_brings_its_own_pixel_size_where_the_field_of_view_changes_in_mid_run(traps: Streamed) -> None:
    sizes = [frame.pixel_size for frame in traps.between("fov change", "subscan")]

    assert (1 / 64, 1 / 64) in sizes
    assert (0.5 / 64, 0.5 / 64) in sizes
    assert next(iter(traps.between("first start", "second start"))).fov_nm == (0.75, 1.0)  # Nion's is the longer side


def test_a_subscan_lies_where_it_is_and_not_where_swifts_calibration_puts_it(traps: Streamed) -> None:
    frames = [frame for frame in traps.between("subscan", "failure") if frame.subscan is not None]
    announced = [scan for scan in traps.said["scans"] if scan["claims_rows"] == 32 and scan["fov_nm"] == 6.0]

    assert frames
    for frame in frames:
        assert frame.channels["HAADF"].shape == (32, 64)
        assert frame.pixel_size == pytest.approx((6 / 128, 6 / 128))
        assert frame.fov_nm == pytest.approx((1.5, 3.0))
        assert frame.center_nm == pytest.approx((-0.75 * np.sin(0.3), -0.75 * np.cos(0.3)))
        assert frame.scan_rotation_rad == pytest.approx(0.3 - 0.1)
        assert frame.subscan is not None
        assert frame.subscan["context_fov_nm"] == [6.0, 6.0]
        assert frame.subscan["center_frac"] == [0.5, 0.375]
    assert all(scan["offsets"] == [-0.75, -1.5] for scan in announced)  # as if its centre were the scan's


def test_an_acquisition_that_fails_sends_nothing_and_the_next_one_does(traps: Streamed) -> None:
    assert traps.said["after failure"] == []
    assert traps.said["failure"] == traps.said["after"]
    assert len(traps.between("after", "suspended")) >= 1


def test_negative_values_stay_what_they_are(traps: Streamed) -> None:
    frame = traps.frames[0]

    assert frame.channels["HAADF"].dtype == np.dtype("<f4")
    assert (frame.channels["HAADF"] < 0).any()
    assert frame.dwell_us == 2.0
    assert frame.beam == {"energy_eV": 100000.0, "defocus_m": 5e-07}


def test_an_aborted_scan_is_sent_with_its_rows_whether_swift_calls_it_complete_or_never_mentions_it(traps: Streamed) -> None:
    tried = traps.said["aborted"]
    aborted = traps.frames[-len(tried) :]

    assert {one["announced"] for one in tried} == {0, 1}
    assert traps.said["scans"][-1]["claims_rows"] == 16  # all of them, says Swift
    assert traps.said["scans"][-1]["zero_rows"] > 10
    for frame in aborted:
        assert not frame.complete
        assert frame.vendor["cut_short"]
        assert frame.valid_rows is not None
        rows = frame.valid_rows[1]
        image = frame.channels["HAADF"]
        assert 0 < rows < image.shape[0]
        assert image[:rows].any(axis=1).all()
        assert not image[rows + 1 :].any()  # neither what was not scanned nor what is left of the scan before
    assert all(one["next_is_empty"] for one in tried)


def test_a_scan_that_makes_way_for_another_is_not_forgotten(traps: Streamed) -> None:
    frames = traps.frames[traps.said["suspended"] :][:3]

    assert [(frame.complete, frame.channels["HAADF"].shape) for frame in frames] == [(False, (48, 64)), (True, (32, 40)), (True, (48, 64))]


def test_a_scan_that_is_recorded_after_one_that_was_aborted_is_whole(nion: NionPython) -> None:
    heard = _heard(nion, "recorded")
    frame = heard.frames[-1]

    assert heard.said["still_aborted"]
    assert [one.complete for one in heard.frames] == [False, True]
    assert frame.valid_rows == (0, 64)
    assert hashlib.sha256(frame.channels["HAADF"].tobytes()).hexdigest() == heard.said["recorded"]


def test_scans_that_nobody_hears_are_counted_and_do_not_wait(traps: Streamed) -> None:
    unheard = traps.said["unheard"]

    assert unheard["dropped"] == unheard["scans"] == len(traps.frames)
    assert unheard["sent"] == unheard["failed"] == 0


def test_nions_own_specimen_streams_too_and_the_process_ends_by_itself(builtin: Streamed) -> None:
    assert builtin.said["counts"][SOURCE]["sent"] == len(builtin.frames) == len(builtin.said["scans"])
    assert builtin.said["threads"]  # which only closing the cameras ends


def test_a_place_in_nm_is_the_same_in_every_scan_that_nions_own_generator_makes(builtin: Streamed) -> None:
    views = {str(frame.vendor["geometry"]): frame for frame in builtin.frames}.values()
    overview, *others = views

    assert len(others) == 3
    for view in others:
        right, placed = _agreement(view, overview), _placed(view)
        turned_back = replace(placed, rotation_rad=-placed.rotation_rad)
        elsewhere = replace(placed, center_nm=(-placed.center_nm[0], -placed.center_nm[1]))
        print(f"{placed}: {right:.3f}, turned back {_agreement(view, overview, turned_back):.3f}, elsewhere {_agreement(view, overview, elsewhere):.3f}")
        assert right > 0.8
        assert _agreement(view, overview, elsewhere) < right - 0.1
        if placed.rotation_rad:
            assert _agreement(view, overview, turned_back) < right - 0.1


def test_swift_itself_finds_the_plug_in_starts_it_and_ends_it(nion: NionPython) -> None:
    heard = _heard(nion, "loaded")

    assert Path(heard.said["file"]).is_relative_to(nion.installed)
    assert heard.said["counts"][SOURCE]["sent"] == len(heard.frames) == len(heard.said["scans"]) > 0
    assert heard.said["left"] == 0


def test_the_script_prints_what_is_found_in_the_next_scans(nion: NionPython, service: Launched) -> None:
    said = nion.finish(nion.start(DRIVER, "script", service.frames, service.results))
    *scans, end = said["lines"]

    assert len(scans) == 3
    assert all(" host, " in line and " impurity; " in line and line.endswith("unselected") for line in scans)
    assert end.endswith("3 answered")
