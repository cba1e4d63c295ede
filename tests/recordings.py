"""Frames with answers that no engine had to make, each to be told from every other."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_service.record import DriftScores, RecordedFrame
from atomstream_wire import EnsembleState, Frame, FrameReport

SESSION = "a-session"


def image_of(seq: int, shape: tuple[int, int] = (48, 64), dtype: str = "<u2") -> NDArray[Any]:
    return np.random.default_rng(seq).poisson(300, shape).astype(dtype)


def atoms_of(seq: int) -> NDArray[np.float32]:
    """seq % 5 atoms, of two classes; the last one was seen by one member alone."""
    count = seq % 5
    atoms = np.random.default_rng(seq).uniform(5, 40, (count, 10)).astype(np.float32)
    atoms[:, 2] = np.arange(count) % 2
    atoms[:, 5] = 2
    atoms[:, 9] = np.arange(count) + 100
    atoms[count - 1 :, 6:8] = np.nan
    return atoms


def recorded(
    seq: int,
    shape: tuple[int, int] = (48, 64),
    *,
    dtype: str = "<u2",
    source: str = "nion/usim",
    pixel_size: tuple[float, float] | None = (0.01, 0.01),
    maps: bool = False,
    drift: bool = False,
    t_recv: float | None = None,
) -> RecordedFrame:
    """Frame `seq`: `image_of` and `atoms_of` it, generation seq // 10."""
    image = image_of(seq, shape, dtype)
    mine: dict[str, Any] = {"pixel_size": pixel_size, "t_end": 1000.0 + seq, "user": {"note": f"frame {seq}"}, "vendor": {"gain": 3}, "frame": 7 * seq}
    frame = Frame({"HAADF": image, "BF": image}, SESSION, seq, source, units={"HAADF": "counts"}, beam={"energy_eV": 60000}, dwell_us=4.0, **mine)
    report = FrameReport(
        session=SESSION,
        seq=seq,
        source=source,
        channel="HAADF",
        shape=shape,
        ensemble=EnsembleState("graphene", "2", "abc", seq // 10),
        members_used=("m00", "m02"),
        members_total=3,
        classes=("C", "silicon"),
        t_recv=time.time() if t_recv is None else t_recv,
        t_done=time.time(),
        **mine,
    )
    mean = np.random.default_rng(seq).random((2, *shape)).astype(np.float32) if maps else None
    scores = DriftScores(("m00", "m01", "m02"), ("d1", "d2"), np.array([[seq, 2], [np.nan, np.nan], [5, 6]], np.float32)) if drift else None
    std = mean / 2 if mean is not None and seq % 2 else None
    return RecordedFrame.of(frame, report, atoms_of(seq), drift=scores, mean=mean, std=std)


def assert_same(found: RecordedFrame, expected: RecordedFrame) -> None:
    """Everything but maps, which are rounded, is the same."""
    np.testing.assert_array_equal(found.image, expected.image)
    assert found.image.dtype == expected.image.dtype
    np.testing.assert_array_equal(found.atoms, expected.atoms)
    assert found.report == expected.report
    assert {**vars(found.frame), "channels": list(found.frame.channels)} == {**vars(expected.frame), "channels": list(expected.frame.channels)}
    assert (found.drift is None) == (expected.drift is None)
    if found.drift is not None and expected.drift is not None:
        assert (found.drift.members, found.drift.names) == (expected.drift.members, expected.drift.names)
        np.testing.assert_array_equal(found.drift.values, expected.drift.values)
