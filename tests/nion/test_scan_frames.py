"""What becomes of Nion's data, without Nion: units, places, rows, names, settings, pictures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from atomstream_client import FramePublisher
from atomstream_wire import Frame, decode_frame, encode_frame
from nionswift_plugin.atomstream import BadSettings, ScanGeometry, ScanStreamer, Settings, read_settings, scan_frame
from nionswift_plugin.atomstream._frame import rows_scanned
from nionswift_plugin.atomstream._picture import picture
from simulated_specimen import BOND_NM, LatticeSpecimen

RANDOM = np.random.default_rng(0)


def noise(rows: int = 24, columns: int = 32) -> NDArray[np.float32]:
    return RANDOM.normal(5, 1, (rows, columns)).astype(np.float32)


def xdata(data: NDArray[Any], units: str = "nm", scale: float = 0.01, **scan: Any) -> SimpleNamespace:
    """What Nion's extended data has, as it was seen in a run of its simulator."""
    return SimpleNamespace(
        data=data,
        metadata={
            "instrument": {"high_tension": 60000.0},
            "scan": {"fov_nm": 0.32, "rotation": 0.0, "center_x_nm": 0.0, "center_y_nm": 0.0, "scan_context_size": data.shape, **scan},
            "hardware_source": {"channel_name": "HAADF", "frame_index": 4, "pixel_time_us": 2.0},
        },
        dimensional_calibrations=[SimpleNamespace(scale=scale, units=units)] * 2,
        intensity_calibration=SimpleNamespace(units="counts"),
        timestamp=datetime(2026, 11, 26, 8, 0, 0, 500_000),
    )


def sent(*images: Any, rows: int | None = None) -> Frame:
    """The frame as it arrives."""
    frame = scan_frame(images, rows=rows)
    return decode_frame(encode_frame(Frame(channels=frame.channels, session="s", seq=0, source="nion/test", **frame.about)))


@pytest.mark.parametrize(("units", "nm"), [("nm", 1.0), ("pm", 1e-3), ("\u00c5", 0.1), ("um", 1e3), ("\u00b5m", 1e3), ("\u03bcm", 1e3), ("m", 1e9)])
def test_a_pixel_size_arrives_in_nm(units: str, nm: float) -> None:
    assert sent(xdata(noise(), units)).pixel_size == pytest.approx((0.01 * nm, 0.01 * nm))


@pytest.mark.parametrize(("units", "scale"), [("", 1.0), ("s", 0.01), ("1/nm", 0.01), ("nm", 0.0), ("nm", float("nan"))])
def test_a_pixel_size_that_is_no_length_is_unknown_and_never_1(units: str, scale: float) -> None:
    frame = sent(xdata(noise(), units, scale))

    assert frame.pixel_size is None
    assert frame.fov_nm is None
    assert frame.vendor["geometry"] is None


def test_swifts_time_stamps_are_utc() -> None:
    assert sent(xdata(noise())).t_end == datetime(2026, 11, 26, 8, 0, 0, 500_000, UTC).timestamp()


def test_channels_of_the_same_name_stay_apart_and_a_subscan_renames_none() -> None:
    first, second = xdata(noise()), xdata(noise())
    first.metadata["hardware_source"]["channel_name"] = "HAADF Subscan"

    assert list(sent(first, second).channels) == ["HAADF", "HAADF 1"]


def test_pixels_of_a_type_that_the_wire_lacks_become_floats() -> None:
    assert sent(xdata(noise().astype(np.float16))).channels["HAADF"].dtype == np.dtype("<f4")


def test_what_json_can_not_hold_does_not_stop_a_frame() -> None:
    frame = sent(xdata(noise(), odd=np.float32(2.5), missing=float("nan"), thing=object(), size=(np.int64(3), 4)))

    scan = frame.vendor["nion"]["scan"]
    assert (scan["odd"], scan["missing"], scan["size"]) == (2.5, None, [3, 4])


def test_a_frame_that_is_scanned_in_sections_is_no_subscan() -> None:
    part: dict[str, Any] = {"subscan_fractional_size": (0.5, 1.0), "subscan_fractional_center": (0.75, 0.5)}

    assert sent(xdata(noise(), **part)).subscan is not None
    assert sent(xdata(noise(), **part, scan_device_parameters={"subscan_type_partial": True})).subscan is None


def cut(rows: int, pixels: int = 0) -> NDArray[np.float32]:
    """A frame that is exactly 0 after so many rows and pixels."""
    image = noise()
    image.ravel()[rows * image.shape[1] + pixels :] = 0
    return image


@pytest.mark.parametrize(
    ("images", "aborted", "before", "rows"),
    [
        pytest.param([noise()], False, 0, None, id="complete"),
        pytest.param([cut(7), cut(7)], True, 5, 7, id="aborted"),
        pytest.param([cut(7, 3)], True, 5, 7, id="aborted within a row"),
        pytest.param([cut(0), cut(0)], True, 0, 0, id="aborted before the first row"),
        pytest.param([cut(7)], False, 5, 7, id="Swift has not yet said that it was aborted"),
        pytest.param([cut(7), noise()], False, 5, None, id="one detector is switched off"),
        pytest.param([np.rint(cut(7))], False, 5, None, id="a detector that counts electrons, over vacuum"),
        pytest.param([cut(0)], False, 0, None, id="nothing in it"),
        pytest.param([noise()], True, 9, 9, id="aborted, and the rest is of the scan before"),
        pytest.param([noise()], True, 0, None, id="aborted just after it was complete"),
    ],
)
def test_rows_that_were_not_scanned_are_told_from_those_that_were(images: list[NDArray[np.float32]], aborted: bool, before: int, rows: int | None) -> None:
    assert rows_scanned(images, aborted, before) == rows


def test_a_scan_that_was_cut_short_says_so() -> None:
    frame = sent(xdata(cut(7)), rows=7)

    assert (frame.complete, frame.valid_rows) == (False, (0, 7))
    assert (frame.vendor["cut_short"], frame.vendor["rows"]) == (True, 7)


@given(st.floats(-7, 7), st.tuples(st.floats(-50, 50), st.floats(-50, 50)), st.tuples(st.floats(0.001, 2), st.floats(0.001, 2)))
def test_places_and_pixels_are_each_others_inverse(angle: float, center: tuple[float, float], size: tuple[float, float]) -> None:
    geometry = ScanGeometry((192, 256), size, center, angle)
    pixels = np.array([[0.0, 0.0], [12.5, 255.0], [95.5, 127.5]])

    assert geometry.to_px(geometry.to_nm(pixels)) == pytest.approx(pixels, abs=1e-6)
    assert geometry.to_nm(pixels)[2] == pytest.approx(center)
    assert ScanGeometry.from_json(geometry.as_json()) == geometry


class Listened:
    """What the plug-in uses of Nion's events."""

    def __init__(self) -> None:
        self.listeners: list[Callable[..., None]] = []

    def listen(self, listener: Callable[..., None]) -> SimpleNamespace:
        self.listeners.append(listener)
        return SimpleNamespace(close=lambda: self.listeners.remove(listener))

    def fire(self, *arguments: Any) -> None:
        for listener in self.listeners:
            listener(*arguments)


def scan_device() -> tuple[SimpleNamespace, dict[str, Listened]]:
    events = {name: Listened() for name in ("xdatas_available_event", "data_channel_updated_event", "acquisition_state_changed_event")}
    return SimpleNamespace(is_aborted=False, **events), events


def test_nothing_unexpected_reaches_the_acquisition_thread_and_the_scan_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    device, events = scan_device()
    odd = xdata(noise())
    odd.dimensional_calibrations = None
    with FramePublisher("nion/test", "tcp://127.0.0.1:9") as publisher, ScanStreamer(device, publisher) as streamer:
        for _ in range(3):
            events["xdatas_available_event"].fire([SimpleNamespace(xdata=odd)])
        events["data_channel_updated_event"].fire(SimpleNamespace(state="partial"), None)
        events["xdatas_available_event"].fire([SimpleNamespace(xdata=xdata(noise()))])
        events["xdatas_available_event"].fire([])
        counts = streamer.counts

    assert (counts.scans, counts.failed, counts.dropped, counts.sent) == (4, 3, 1, 0)
    assert [record.message.split(":")[0] for record in caplog.records] == ["a scan was not sent", "rows were not understood"]
    assert not any(event.listeners for event in events.values())


@pytest.mark.parametrize(("side", "kept"), [(32, range(30)), (2048, range(26, 30))])
def test_frames_of_a_fast_scan_are_still_there_when_their_atoms_come(side: int, kept: range) -> None:
    device, events = scan_device()
    image = xdata(noise(side, side))
    with zmq.Context() as context, context.socket(zmq.SUB) as service:
        service.linger = 0
        service.subscribe(b"")
        endpoint = f"tcp://127.0.0.1:{service.bind_to_random_port('tcp://127.0.0.1')}"
        with FramePublisher("nion/test", endpoint) as publisher, ScanStreamer(device, publisher, keep=4) as streamer:
            while not publisher.wait_for_reader(0.05):
                service.poll(10)  # a subscription leaves while its socket is asked for something
            for _ in range(30):
                events["xdatas_available_event"].fire([SimpleNamespace(xdata=image)])
                service.recv_multipart()

            assert [seq for seq in range(30) if streamer.frame(seq) is not None] == list(kept)


def test_a_frame_of_sections_is_sent_when_the_last_one_is_there() -> None:
    device, events = scan_device()
    part: dict[str, Any] = {"scan_device_parameters": {"subscan_type_partial": True}}
    with FramePublisher("nion/test", "tcp://127.0.0.1:9") as publisher, ScanStreamer(device, publisher) as streamer:
        for state in ("partial", "partial", "complete"):
            image = xdata(noise(), **part)
            events["data_channel_updated_event"].fire(SimpleNamespace(state=state, data_channel_id="a"), image)
            events["xdatas_available_event"].fire([SimpleNamespace(xdata=image)])
        counts = streamer.counts

    assert (counts.scans, counts.cut_short) == (1, 0)


def test_the_simulated_specimens_atoms_are_where_it_says_turned_moved_and_drifting() -> None:
    times = iter([0.0, 30.0, 30.0])
    specimen = LatticeSpecimen(drift_nm_s=(0.02, -0.01), clock=lambda: next(times))
    offset = SimpleNamespace(value_manager=SimpleNamespace(actual_offset_m=(1e-9, -0.5e-9)))
    scan = SimpleNamespace(size=(192, 256), fov_nm=3.0, center_nm=(0.4, -0.3), rotation_rad=0.7, pixel_time_us=2.0)
    image = specimen.generate_scan_data(offset, scan)
    geometry = ScanGeometry((192, 256), (3 / 256, 3 / 256), (0.4, -0.3), 0.7)

    def brightness(places_nm: NDArray[np.float64]) -> float:
        there = np.rint(geometry.to_px(places_nm)).astype(int)
        y, x = there[((there >= 0) & (there < image.shape)).all(axis=1)].T
        return float(image[y, x].mean())

    moved = specimen.atoms_nm + np.array([1.6, -0.8])
    assert specimen.moved_nm() == pytest.approx((0.6, -0.3))
    assert brightness(moved) > 2 * image.mean()
    assert brightness(moved) > 1.5 * brightness(moved + np.array([BOND_NM / 2, 0.0]))
    assert image.dtype == np.float32
    assert (image < 0).any()


def test_a_picture_rings_every_atom_and_leaves_the_rest_grey() -> None:
    image = noise(64, 80)
    atoms = np.zeros((2, 10), np.float32)
    atoms[:, :3] = [[20, 30, 0], [0, 79, 1]]  # the second at a corner
    drawn = picture(image, atoms)

    coloured = np.ptp(drawn.astype(int), axis=2) > 0
    assert drawn.shape == (64, 80, 3)
    assert coloured[15:26, 25:36].sum() == coloured[:, :60].sum() > 0
    assert coloured[:10, 70:].any()
    assert not coloured[20, 30]
    assert picture(np.zeros((8, 8)), np.empty((0, 10), np.float32)).max() == 0


def test_settings_come_from_a_small_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nion.toml"
    file.write_text('frames = "tcp://10.0.0.5:5555"\nscan_device = "superscan"\nshow = false\n')
    monkeypatch.setenv("ATOMSTREAM_NION", str(file))

    assert read_settings() == Settings(frames="tcp://10.0.0.5:5555", scan_device="superscan", show=False)
    monkeypatch.delenv("ATOMSTREAM_NION")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_settings() == Settings()


@pytest.mark.parametrize(("text", "wrong"), [("frame = 'x'", "'frame' is none of"), ("show = 'yes'", "show = 'yes' is not a bool"), ("frames", "nion.toml")])
def test_a_setting_that_is_none_is_named(text: str, wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "nion.toml"
    file.write_text(text)

    with pytest.raises(BadSettings, match=wrong):
        read_settings(file)


def test_a_file_that_was_named_and_is_not_there_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"missing\.toml"):
        read_settings(tmp_path / "missing.toml")
