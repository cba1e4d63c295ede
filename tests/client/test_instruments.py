"""The files that run at instruments: each as a process of an old and a new Python, beside a stand-in for the few calls that it makes, over real sockets."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import zmq
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreters import OLDEST, environment_of, plain_environment
from numpy.typing import NDArray

from atomstream_client import Atoms
from atomstream_client.testing import answering
from atomstream_service.demo import free_endpoints
from atomstream_wire import EnsembleState, Frame, FrameReport, Result, decode_frame

CLIENTS = ROOT / "clients"
STAND_INS = ROOT / "tests" / "client" / "instruments"
PYTHONS = {"3.6": ("numpy", "pyzmq"), "3.7": OLDEST[1], "3.12": ("numpy", "pyzmq")}


def _loaded(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


autoscript = _loaded(CLIENTS / "autoscript" / "atomstream_autoscript.py", "atomstream_autoscript")
jeol = _loaded(CLIENTS / "jeol" / "atomstream_jeol.py", "atomstream_jeol")
asyncroscopy = _loaded(CLIENTS / "asyncroscopy" / "atomstream_asyncroscopy.py", "atomstream_asyncroscopy")
SimulatedAutoScript = _loaded(STAND_INS / "autoscript" / "autoscript_tem_microscope_client" / "__init__.py", "stand_in_autoscript")
SimulatedPyJEM = _loaded(STAND_INS / "jeol" / "PyJEM" / "detector.py", "stand_in_pyjem")
SimulatedTango = _loaded(STAND_INS / "asyncroscopy" / "tango.py", "stand_in_tango")


class Gathered:
    """A service that keeps the frames it gets; `wait` until it has so many."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._more = threading.Condition()

    def __call__(self, frame: Frame) -> Iterable[Result]:
        with self._more:
            self.frames.append(frame)
            self._more.notify_all()
        return ()

    def wait(self, count: int) -> list[Frame]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.frames) >= count, 60), f"{len(self.frames)} of {count} frames came"
            return self.frames[:count]


@contextlib.contextmanager
def _running(name: str, version: str, factory: pytest.TempPathFactory, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A client's file as a process, interrupted by Ctrl+C at the end if it still runs; its output is then in `.said`."""
    python = environment_of(version, PYTHONS[version], factory)
    paths = [STAND_INS / name] if name == "jeol" else [STAND_INS / name, CLIENTS]
    variables = plain_environment(PYTHONPATH=os.pathsep.join(map(str, paths)), PYTHONUNBUFFERED="1")
    script = next((CLIENTS / name).glob("*.py"))
    with subprocess.Popen(
        [str(python), "-W", "error", str(script), *arguments], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=30)
            process.said = "".join(said)  # type: ignore[attr-defined]


def _said(process: subprocess.Popen[str]) -> str:
    said: str = process.said  # type: ignore[attr-defined]
    return said


def _numbers(frames: list[Frame], channel: str) -> list[int]:
    """Which scans these are: their first pixel says so. They must follow each other, but for each fifth, which the stand-ins fail."""
    numbers = [int(frame.channels[channel][0, 0]) for frame in frames]
    assert numbers == [number for number in range(numbers[0], numbers[-1] + 1) if number % 5 != 4]
    assert [frame.seq for frame in frames] == list(range(frames[0].seq, frames[0].seq + len(frames)))
    return numbers


def _same(sent: NDArray[Any], came: NDArray[Any]) -> None:
    assert sent.dtype == came.dtype
    np.testing.assert_array_equal(sent, came)


@pytest.mark.parametrize("version", ["3.7", "3.12"])
def test_autoscript_scans_arrive_bit_by_bit_and_a_failure_is_told_and_outlived(version: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    options = ("--detectors", "HAADF,BF", "--size", "64", "--dwell-us", "3", "--energy-kev", "200")
    gathered = Gathered()
    with answering(gathered) as (service, _), _running("autoscript", version, tmp_path_factory, *options, "--service", service) as process:
        frames = gathered.wait(6)

    assert process.returncode == 0, _said(process)
    for number, frame in zip(_numbers(frames, "HAADF"), frames, strict=True):
        _same(SimulatedAutoScript.pixels(number, 0), frame.channels["HAADF"])
        _same(SimulatedAutoScript.pixels(number, 1), frame.channels["BF"])
    frame = frames[0]
    assert frame.pixel_size == pytest.approx((0.02, 0.02))
    assert frame.fov_nm == pytest.approx((0.96, 1.28))
    assert frame.dwell_us == pytest.approx(3)
    assert frame.beam == {"energy_eV": 200000}
    assert (frame.complete, frame.subscan) == (True, None)
    assert frame.t_end == pytest.approx(time.time(), abs=120)
    assert _said(process).count("AutoScript: RuntimeError: STEM is not the active mode. Is its server running") >= 1
    assert _said(process).count("connected to localhost 9095") >= 2
    assert " scans sent, " in _said(process)


def test_an_autoscript_region_is_described_and_keeps_the_pixel_size_of_its_image_alone() -> None:
    image = SimpleNamespace(data=np.zeros((48, 64)), metadata=None)
    header = autoscript.about(image, 10.0, (0.25, 0.5, 0.5, 0.25), 2.0, None)

    assert header["subscan"] == {"center_frac": [0.625, 0.5], "size_frac": [0.25, 0.5], "context_fov_nm": [10.0, 10.0]}
    assert header["pixel_size"] is None
    with pytest.raises(ValueError, match="outside the field"):
        autoscript.region_of("0.75,0,0.5,1")


@pytest.mark.parametrize(
    ("metre", "field_nm", "share", "expected"),
    [
        (2e-11, 1.28, 1.0, (0.02, 0.02)),
        (None, 1.28, 1.0, (0.02, 0.02)),  # no metadata: from the field
        (2e-11, 12.8, 1.0, None),  # they disagree
        (2e-11, None, 1.0, None),  # the field changed while the scan ran
        (None, 12.8, 0.1, None),  # part of the field, no metadata
        (2e-11, 12.8, 0.1, (0.02, 0.02)),
        (2e-11, 12.8, 0.5, None),  # they disagree about the part
        (2e-2, 12.8, 0.1, None),  # metadata in another unit
        (float("nan"), 1.28, 1.0, (0.02, 0.02)),
        (0.0, 1.28, 1.0, (0.02, 0.02)),
    ],
)
def test_autoscript_pixel_sizes_are_taken_only_where_they_can_be_trusted(
    metre: float | None, field_nm: float | None, share: float, expected: tuple[float, float] | None
) -> None:
    size = None if metre is None else SimpleNamespace(x=metre, y=metre)
    image = SimpleNamespace(data=np.zeros((48, 64)), metadata=SimpleNamespace(binary_result=SimpleNamespace(pixel_size=size)))

    assert autoscript.pixel_size_nm(image, field_nm, share) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.12"])
def test_jeol_scans_arrive_bit_by_bit_from_a_file_that_needs_numpy_and_pyzmq_alone(version: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    gathered = Gathered()
    options = ("--calibration", "2000000=0.64", *(("--offline",) if version == "3.12" else ()))
    with answering(gathered) as (service, _), _running("jeol", version, tmp_path_factory, *options, "--service", service) as process:
        frames = gathered.wait(6)

    assert process.returncode == 0, _said(process)
    for number, frame in zip(_numbers(frames, "HAADF"), frames, strict=True):
        _same(SimulatedPyJEM.pixels(number), frame.channels["HAADF"])
    # 0.64 nm at 2,000,000 times are 1.28 nm at 1,000,000 times.
    assert frames[0].pixel_size == pytest.approx((0.02, 0.02))
    assert frames[0].fov_nm == pytest.approx((0.96, 1.28))
    assert frames[0].dwell_us == 4.0
    assert frames[0].complete
    assert "PyJEM: RuntimeError: snapshot_rawdata() answered {'Error': 'Detector is not inserted'}" in _said(process)
    assert " scans sent, " in _said(process)


def test_jeol_area_scans_keep_the_pixel_size_of_the_full_scan_and_without_a_calibration_there_is_none() -> None:
    area = {"X": 16, "Y": 12, "Width": 32, "Height": 24}
    settings = {"ImagingArea": {"X": 0, "Y": 0, "Width": 64, "Height": 48}, "AreaModeImagingArea": area, "scanMode": 3, "ExposureTimeValue": 4.0}
    known, unknown = jeol.about(settings, (24, 32), 1.28, 200.0), jeol.about(settings, (24, 32), None, None)

    assert known["pixel_size"] == pytest.approx([0.02, 0.02])
    assert known["fov_nm"] == pytest.approx([0.48, 0.64])
    assert known["subscan"] == {"center_frac": [0.5, 0.5], "size_frac": [0.5, 0.5]}
    assert (unknown["pixel_size"], unknown["fov_nm"], unknown["beam"]) == (None, None, {})


def test_jeol_raw_pixels_of_another_number_are_refused_with_both_numbers() -> None:
    with pytest.raises(RuntimeError, match=r"6 bytes came, 2 rows of 3 pixels of <u2 need 12"):
        jeol.image_of(b"123456", {"OutputImageInformation": {"ImageSize": {"Width": 3, "Height": 2}}}, np.dtype("<u2"))


def _published(publisher: Any, service: zmq.Socket[bytes]) -> Frame:
    """The first frame that gets through; a reader that has just come may be heard of late."""
    image = np.arange(6, dtype=">u2").reshape(2, 3)
    for _ in range(2000):
        publisher.publish("HAADF", image, {})
        if service.poll(10):
            frame = decode_frame(service.recv_multipart())
            _same(image, frame.channels["HAADF"])
            return frame
    raise AssertionError("nothing came")


def test_the_publisher_for_jeol_counts_what_nobody_takes_and_finds_a_service_that_comes_back() -> None:
    with free_endpoints(1) as (address,):
        publisher = jeol.Publisher("jeol/arm", f"tcp://{address}")
        try:
            assert not publisher.publish("HAADF", np.zeros((2, 3), np.uint16), {})
            for _ in range(2):
                # To end its context is to know that the port is free again.
                with zmq.Context() as context, context.socket(zmq.SUB) as service:
                    service.linger = 0
                    service.subscribe(b"jeol/arm")
                    service.bind(f"tcp://{address}")
                    frame = _published(publisher, service)
        finally:
            publisher.close()

    assert publisher.dropped >= 1
    assert frame.seq < publisher.sent + publisher.dropped


def test_the_publisher_for_jeol_is_let_in_by_keys(tmp_path: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    (public, secret), (server_public, server_secret) = zmq.curve_keypair(), zmq.curve_keypair()
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"public": public.decode(), "secret": secret.decode(), "server": server_public.decode()}))
    service = context.socket(zmq.SUB)
    service.curve_server, service.curve_publickey, service.curve_secretkey = True, server_public, server_secret
    service.subscribe(b"")
    endpoint = "tcp://127.0.0.1:{}".format(service.bind_to_random_port("tcp://127.0.0.1"))
    publisher = jeol.Publisher("jeol/arm", endpoint, str(keys))
    try:
        frame = _published(publisher, service)
    finally:
        publisher.close()
        context.destroy(linger=0)

    assert frame.source == "jeol/arm"


@contextlib.contextmanager
def _server_of_2025() -> Iterator[tuple[str, list[bytes]]]:
    """Speaks as asyncroscopy's TCP servers do, the second answer to each command included; every fifth scan is a traceback."""
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                head = connection.recv(4, socket.MSG_WAITALL)
                if len(head) < 4:
                    continue
                asked.append(connection.recv(struct.unpack("!I", head)[0], socket.MSG_WAITALL))
                time.sleep(0.05)
                answer = b"Traceback: 'NoneType' object has no attribute 'acquisition'"
                if (len(asked) - 1) % 5 != 4:
                    image = SimulatedTango.pixels(len(asked) - 1).astype("<f4")
                    answer = b"[float32,48,64]" + image.tobytes()
                for part in (answer, b"None"):
                    connection.sendall(struct.pack("!I", len(part)) + part)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("version", ["3.7", "3.12"])
def test_scans_of_the_asyncroscopy_of_2025_arrive_with_the_field_of_view_that_it_leaves_out(version: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    gathered = Gathered()
    with _server_of_2025() as (address, asked), answering(gathered) as (service, _):
        options = ("--tcp", address, "--size", "64", "--dwell-us", "2", "--fov-nm", "1.28", "--service", service)
        with _running("asyncroscopy", version, tmp_path_factory, *options) as process:
            frames = gathered.wait(6)

    assert process.returncode == 0, _said(process)
    assert asked[0] == b"AS_get_scanned_image scanning_detector=HAADF size=64 dwell_time=2e-06"
    for number, frame in zip(_numbers(frames, "HAADF"), frames, strict=True):
        _same(SimulatedTango.pixels(number).astype("<f4"), frame.channels["HAADF"])
    assert frames[0].pixel_size == pytest.approx((0.02, 0.02))
    assert frames[0].dwell_us == pytest.approx(2)
    assert "asyncroscopy: RuntimeError: Traceback: 'NoneType' object has no attribute 'acquisition'" in _said(process)


@pytest.mark.parametrize("version", ["3.7", "3.12"])
def test_scans_that_the_asyncroscopy_of_2026_saves_arrive_from_the_file_or_through_tiled(version: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    gathered = Gathered()
    options = ("--tango", "asyncroscopy/microscope/default", "--tango-scan", "asyncroscopy/scan/default", "--tango-data", "asyncroscopy/data/default")
    with answering(gathered) as (service, _), _running("asyncroscopy", version, tmp_path_factory, *options, "--service", service) as process:
        frames = gathered.wait(6)

    assert process.returncode == 0, _said(process)
    for number, frame in zip(_numbers(frames, "HAADF"), frames, strict=True):
        _same(SimulatedTango.pixels(number), frame.channels["HAADF"])
    assert frames[0].pixel_size == pytest.approx((0.02, 0.02))
    assert frames[0].dwell_us == pytest.approx(2)
    assert "asyncroscopy: DevFailed: AutoScript microscope hardware is not connected." in _said(process)


def test_the_first_tango_servers_answer_with_the_pixels_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    image = SimulatedTango.pixels(7)
    told = json.dumps({"detector": "haadf", "shape": [48, 64], "dtype": "uint16", "dwell_time": 2e-6})
    device = SimpleNamespace(set_timeout_millis=int, get_command_list=lambda: ["get_image"], get_image=lambda detector: (told, image.tobytes()))
    monkeypatch.setitem(sys.modules, "tango", SimpleNamespace(DeviceProxy=lambda name: device))
    scan = asyncroscopy.TangoDevice("a/b/c", "", "", "haadf").scan()

    _same(image, scan.image)
    assert (scan.field_nm, scan.full_columns, scan.dwell_us) == (None, 64, pytest.approx(2))


def test_an_asyncroscopy_scan_of_unknown_extent_has_no_pixel_size() -> None:
    image = np.zeros((48, 64))

    assert asyncroscopy.about(asyncroscopy.Scan(image, 1.28, None, None), None, None)["pixel_size"] is None
    assert asyncroscopy.about(asyncroscopy.Scan(image, 1.28, 128, None), None, None)["pixel_size"] is None
    assert asyncroscopy.about(asyncroscopy.Scan(image, None, 64, None), None, None)["pixel_size"] is None
    assert asyncroscopy.about(asyncroscopy.Scan(image, 1.28, 64, None), 9.9, None)["pixel_size"] == pytest.approx((0.02, 0.02))


def test_a_detector_is_found_in_a_saved_file_whatever_group_it_is_in(tmp_path: Path) -> None:
    image = SimulatedTango.pixels(3)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["meta"] = 1
        file["images/BF"] = image[::-1]
        file["images/HAADF"] = image
    with h5py.File(tmp_path / "scan.h5", "r") as file:
        _same(image, asyncroscopy.dataset(file, "haadf")[()])
        with pytest.raises(KeyError, match="nothing is called 'eds'"):
            asyncroscopy.dataset(file, "eds")


@pytest.mark.parametrize("version", ["3.7", "3.12"])
def test_gms_scans_arrive_whole_and_once_though_gms_tells_of_every_part_of_them(version: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    stopped = tmp_path / "stopped"
    frames: list[Frame] = []

    def answer(frame: Frame) -> Iterable[Result]:
        frames.append(frame)
        if not frame.complete:
            stopped.touch()
        report = FrameReport(
            frame.session,
            frame.seq,
            frame.source,
            "HAADF",
            (48, 64),
            EnsembleState("e", "1", "ab", 1),
            ("m",),
            1,
            ("C",),
            0.0,
            1.0,
            pixel_size=frame.pixel_size,
        )
        yield Atoms(report, np.array([[10.2, 20.4, 0, 0.9, 0, 1, 0, 0, 9, 0]], np.float32))

    with answering(answer) as (service, results):
        starter = tmp_path / "gms.py"
        starter.write_text(
            "import sys\n"
            "import DigitalMicrograph as DM, atomstream_gms\n"
            f"sent, dropped = atomstream_gms.main({service!r}, {results!r}, quiet_s=1.5)\n"
            "spots = DM.images[0].array\n"
            "print(sent, dropped, len(DM.images), spots.shape, (spots > 0).sum(), float(spots[10, 20]) > 0.89)\n"
        )
        python = environment_of(version, PYTHONS[version], tmp_path_factory)
        paths = os.pathsep.join(map(str, (STAND_INS / "gatan", CLIENTS / "gatan", CLIENTS)))
        run = subprocess.run(
            [str(python), "-W", "error", str(starter)],
            env=plain_environment(PYTHONPATH=paths, ATOMS="3", STOPPED_SCAN_CAME=str(stopped)),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    assert run.returncode == 0, run.stderr
    pixels = _gms_pixels()
    whole = [frame for frame in frames if frame.complete]
    numbers = [int(frame.channels["HAADF"][0, 0]) for frame in whole]
    assert numbers[-3:] == [2, 3, 5]
    for number, frame in zip(numbers, whole, strict=True):
        _same(pixels(number), frame.channels["HAADF"])
        assert frame.valid_rows == (0, 48)
    (stopped_scan,) = (frame for frame in frames if not frame.complete)
    assert stopped_scan.valid_rows == (0, 24)
    _same(pixels(4)[:24], stopped_scan.channels["HAADF"][:24])
    assert stopped_scan.pixel_size == pytest.approx((0.03, 0.02))
    assert stopped_scan.fov_nm == pytest.approx((1.44, 1.28))
    assert stopped_scan.dwell_us == 4.0
    assert stopped_scan.beam == {"energy_eV": 200000}
    assert run.stdout.splitlines()[-1].endswith("1 (48, 64) 9 True")


def _gms_pixels() -> Any:
    """The stand-in's images, without the microscope that it starts when it is imported."""
    source = (STAND_INS / "gatan" / "DigitalMicrograph.py").read_text(encoding="utf-8").rsplit("threading.Thread", 1)[0]
    names: dict[str, Any] = {}
    exec(compile(source, "DigitalMicrograph.py", "exec"), names)
    return names["pixels"]


@pytest.fixture(scope="module")
def gms() -> Iterator[ModuleType]:
    """The script as a module, beside a GMS without any microscope."""
    sys.modules["DigitalMicrograph"] = ModuleType("DigitalMicrograph")
    sys.modules["DigitalMicrograph"].Py_ScriptObject = object  # type: ignore[attr-defined]
    yield _loaded(CLIENTS / "gatan" / "atomstream_gms.py", "atomstream_gms")
    del sys.modules["DigitalMicrograph"], sys.modules["atomstream_gms"]


@pytest.mark.parametrize(
    ("scale", "unit", "expected"),
    [
        (0.02, "nm", 0.02),
        (2e-5, b"\xb5m", 0.02),
        (2e-5, "µm", 0.02),
        (2e-5, "\u03bcm", 0.02),
        (2e-5, "um", 0.02),
        (20, "pm", 0.02),
        (0.2, "Å", 0.02),
        (0.2, "A", 0.02),
        (0.02, "1/nm", None),
        (1.0, "", None),
        (1.0, "px", None),
        (0.0, "nm", None),
        (-0.02, "nm", None),
        (float("nan"), "nm", None),
    ],
)
def test_gms_units_become_nm_and_what_is_no_length_becomes_unknown(gms: ModuleType, scale: float, unit: str | bytes, expected: float | None) -> None:
    image = SimpleNamespace(GetDimensionCalibration=lambda dimension, _: (0.0, scale * (1 + dimension), unit))

    assert gms.pixel_size_nm(image) == (None if expected is None else pytest.approx((2 * expected, expected)))


def test_a_scan_that_comes_at_once_or_faster_than_one_looks_is_followed_too(gms: ModuleType) -> None:
    follower = gms.ScanFollower(quiet_s=1.0)
    scans = [np.full((4, 6), number, np.float32) for number in range(4)]
    scans[2][1, 1] = np.nan
    seen = [follower.look(one, 0.1 * at) for at, one in enumerate([scans[0], scans[1], scans[2], scans[2], scans[2], scans[3][:, :5]])]

    assert [None if one is None else (one.image[0, 0], one.rows) for one in seen] == [None, None, (1, 4), (2, 4), None, None]
    assert not follower.waiting


def _followed(gms: ModuleType, *looks: tuple[int, int, float]) -> list[tuple[int, int, Any]]:
    """Scans of a live view of 8 x 6 pixels, looked at again and again: (first pixel, rows, pixel size along x).

    looks : (number of the scan, rows of it that are there, pixel size)
    """
    follower, live, found = gms.ScanFollower(quiet_s=1.0), np.zeros((8, 6), np.uint16), []
    follower.look(live, 0.0, (looks[0][2], looks[0][2]))
    for at, (number, rows, size) in enumerate(looks, 1):
        live[: min(rows, 6)] = number + np.arange(6)
        live[6:rows] = 0
        scan = follower.look(live, 0.1 * at, (size, size))
        if scan is not None:
            found.append((int(scan.image[5, 0]), scan.rows, scan.pixel_size and scan.pixel_size[1]))
    return found


def test_scans_whose_last_rows_never_change_are_sent_when_the_next_one_begins(gms: ModuleType) -> None:
    assert _followed(gms, (7, 4, 0.1), (7, 8, 0.1), (9, 2, 0.1), (9, 8, 0.1), (11, 3, 0.1)) == [(7, 8, 0.1), (9, 8, 0.1)]


def test_a_scan_that_is_begun_anew_before_its_end_is_sent_as_cut_short(gms: ModuleType) -> None:
    follower, live = gms.ScanFollower(quiet_s=1.0), np.arange(48, dtype=np.uint16).reshape(8, 6)
    follower.look(live, 0.0)
    live[:4] += 100
    assert follower.look(live, 0.1) is None
    live[4:6] += 100
    assert follower.look(live, 0.2) is None
    first = live.copy()
    live[:2] += 100
    scan = follower.look(live, 0.3)

    assert scan.rows == 6
    assert (scan.image == first).all()
    live[2:] += 100
    assert follower.look(live, 0.4) is None
    assert follower.look(live, 0.5).rows == 8


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(1, 11), st.booleans()), min_size=20, max_size=60), st.sampled_from([32, 31, 27]))
def test_every_scan_of_a_live_view_comes_once_and_as_it_was(gms: ModuleType, looks: list[tuple[int, bool]], lit: int) -> None:
    """Some of 32 rows are written between two looks, and a look, which goes from top to bottom, may miss the upper half of what is just being written.

    lit : rows above a dark rest, which never changes
    """
    follower, live, at, found = gms.ScanFollower(), np.zeros((32, 4), np.uint16), 0, []
    follower.look(live, 0.0)
    for k, (rows, torn) in enumerate(looks):
        view = live.copy()
        for row in range(at, at + rows):
            if row % 32 < lit:
                live[row % 32] = 100 * (1 + row // 32) + row % 32
                live[row % 32, 0] = 7 * row
            if not torn or row - at >= rows // 2 or at % 32 + rows > 32:
                view[row % 32] = live[row % 32]
        at += rows
        scan = follower.look(view, 0.05 * k)
        if scan is not None:
            found.append(scan)

    assert [int(scan.image[0, 1]) for scan in found] == [100 * (1 + number) for number in range(len(found))]
    assert at // 32 - len(found) in (0, 1, 2)
    for number, scan in enumerate(found):
        assert scan.rows == 32
        assert (scan.image[:lit, 1] == 100 * (1 + number) + np.arange(lit)).all()


def test_a_scan_during_which_the_magnification_changed_has_no_pixel_size(gms: ModuleType) -> None:
    looks = [(7, 4, 0.1), (7, 8, 0.1), (9, 2, 0.1), (9, 6, 0.2), (9, 8, 0.2), (11, 3, 0.2), (11, 8, 0.2), (13, 1, 0.4), (13, 8, 0.4), (15, 4, 0.4)]

    # The last change was seen together with the first row of the last scan but one: nobody can tell which came first.
    assert _followed(gms, *looks) == [(7, 8, 0.1), (9, 8, None), (11, 8, None), (13, 8, None)]


def test_a_scan_that_has_ended_keeps_its_pixel_size_when_the_magnification_changes_afterwards(gms: ModuleType) -> None:
    follower = gms.ScanFollower(quiet_s=1.0)
    live = np.zeros((4, 6), np.uint16)
    follower.look(live, 0.0, (0.1, 0.1))
    live[:] = 7
    assert follower.look(live, 0.1, (0.1, 0.1)) is None
    assert follower.look(live, 0.2, (0.2, 0.2)).pixel_size == (0.1, 0.1)
    live[:] = 9
    follower.look(live, 0.3, (0.2, 0.2))
    assert follower.look(live, 0.4, (0.2, 0.2)).pixel_size == (0.2, 0.2)


def test_the_image_of_atoms_is_calibrated_as_each_scan_is(gms: ModuleType) -> None:
    told: dict[int, tuple[float, str]] = {}
    shown = SimpleNamespace(
        SetName=str,
        ShowImage=lambda: None,
        UpdateImage=lambda: None,
        GetNumArray=lambda: np.zeros((48, 64)),
        SetDimensionCalibration=lambda dimension, origin, scale, unit, style: told.update({dimension: (scale, unit)}),
    )
    sys.modules["DigitalMicrograph"].CreateImage = lambda spots: shown  # type: ignore[attr-defined]
    atoms, seen = gms.AtomsImage(), []
    for size in ((0.03, 0.02), (0.06, 0.04), None):
        report = FrameReport("s", 0, "g", "HAADF", (48, 64), EnsembleState("e", "1", "ab", 1), ("m",), 1, ("C",), 0.0, 1.0, pixel_size=size)
        atoms.show(Atoms(report, np.empty((0, 10), np.float32)))
        seen.append((told[1], told[0]))

    assert seen == [((0.03, "nm"), (0.02, "nm")), ((0.06, "nm"), (0.04, "nm")), ((1.0, ""), (1.0, ""))]


def test_scans_go_on_being_sent_where_the_atoms_can_not_be_shown(gms: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    listener, live, sent = SimpleNamespace(rung=threading.Event(), closed=False), np.zeros((8, 6), np.uint16), []

    def look() -> NDArray[Any]:
        live[:] += 1
        return live

    def publish(channels: Any, **about: Any) -> None:
        sent.append(about)
        listener.closed = len(sent) == 3

    def gone(spots: Any) -> Any:
        raise RuntimeError("the image does not exist")

    sys.modules["DigitalMicrograph"].CreateImage = gone  # type: ignore[attr-defined]
    tags = SimpleNamespace(GetTagAsFloat=lambda path: (False, 0.0))
    calibration = (0.0, 0.02, "nm")
    image = SimpleNamespace(GetNumArray=look, GetDimensionCalibration=lambda *axis: calibration, GetTagGroup=lambda: tags, GetName=lambda: "live")
    report = FrameReport("s", 0, "g", "HAADF", (8, 6), EnsembleState("e", "1", "ab", 1), ("m",), 1, ("C",), 0.0, 1.0)
    answers = SimpleNamespace(receive=lambda timeout_s: Atoms(report, np.empty((0, 10), np.float32)))
    listener.rung.set()
    gms._stream(image, listener, SimpleNamespace(publish=publish, sent=0, dropped=0), answers, gms.ScanFollower())

    assert len(sent) == 3
    assert capsys.readouterr().out == "Atomstream: the atoms are not shown any more: RuntimeError: the image does not exist\n"


def test_a_last_row_that_is_caught_half_written_is_waited_for(gms: ModuleType) -> None:
    follower = gms.ScanFollower(quiet_s=1.0)
    live = np.zeros((4, 6), np.uint16)
    follower.look(live, 0.0)
    live[:3], live[3, :2] = 7, 7
    assert follower.look(live, 0.1) is None
    live[3] = 7
    assert follower.look(live, 0.2) is None
    scan = follower.look(live, 0.3)
    live[:] = 9

    assert scan is not None
    assert (scan.image == 7).all()


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        ("autoscript:TemMicroscopeClient.connect", ["self", "host", "port"]),
        ("pyjem:get_attached_detector", []),
        ("pyjem:Detector.__init__", ["self", "detectorName"]),
        ("pyjem:Detector.get_detectorsetting", ["self"]),
        ("pyjem:Detector.snapshot_rawdata", ["self"]),
        ("tango:DeviceProxy.acquire_scanned_image", ["self", "detector_list"]),
        ("tango:DeviceProxy.get_fov", ["self"]),
    ],
)
def test_the_stand_ins_have_the_parameters_of_the_published_sources(call: str, parameters: list[str]) -> None:
    module, _, path = call.partition(":")
    found: Any = {"autoscript": SimulatedAutoScript, "pyjem": SimulatedPyJEM, "tango": SimulatedTango}[module]
    for name in path.split("."):
        found = getattr(found, name)

    assert list(inspect.signature(found).parameters) == parameters


@pytest.mark.parametrize("version", ["3.7", "3.12"])
def test_every_file_for_instruments_is_of_their_python(version: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    python = environment_of(version, PYTHONS[version], tmp_path_factory)
    files = [str(path) for path in CLIENTS.rglob("*.py") if "nion" not in path.parts]  # Nion's Python is 3.12 or later
    script = "import sys; [compile(open(one, encoding='utf-8').read(), one, 'exec') for one in sys.argv[1:]]; print(len(sys.argv) - 1)"
    run = subprocess.run([str(python), "-W", "error", "-c", script, *files], env=plain_environment(), capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 20


def test_the_file_for_jeol_keeps_to_the_syntax_of_python_3_5() -> None:
    tree = ast.parse((CLIENTS / "jeol" / "atomstream_jeol.py").read_text(encoding="utf-8"), feature_version=(3, 5))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]

    assert not [type(node).__name__ for node in ast.walk(tree) if isinstance(node, (ast.JoinedStr, ast.AnnAssign))]
    assert not [one.name for one in functions if one.args.posonlyargs]
