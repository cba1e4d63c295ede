"""A recording as a signal of HyperSpy. HyperSpy is under the GPL, and nothing but this file imports it: only the extra `hyperspy` brings it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.errors import ExtraMissing, InputError
from atomstream_models.recording import Recording
from atomstream_wire import ATOM_COLUMNS

from ._rows import FrameAtoms

_MARK_SHARE = 0.01
"""Diameter of a mark as a share of the frame's width."""


def write_hyperspy(file: Path, recording: Recording, places: Sequence[int], frames: Sequence[FrameAtoms]) -> None:
    """A Signal2D of the frames with its axes in nm, every frame's atoms as points that HyperSpy draws, and all columns of the atoms in
    `original_metadata.Atomstream`. Frames are read while they are written.

    places : of the frames in the recording
    frames : their atoms

    Raises
    ------
    ExtraMissing
        without HyperSpy.
    InputError
        where frames differ in shape, type or pixel size.
    """
    try:
        import dask.array as da  # noqa: PLC0415
        import hyperspy.api as hs  # noqa: PLC0415
        from dask import delayed  # noqa: PLC0415
        from hyperspy.signals import LazySignal2D  # noqa: PLC0415
    except ImportError as missing:
        raise ExtraMissing("hyperspy", "hyperspy") from missing
    kind, size = _kind(recording, places[0]), frames[0].pixel_nm
    if any(_kind(recording, place) != kind for place in places) or any(one.pixel_nm != size for one in frames):
        raise InputError("the frames differ in shape, type or pixel size, and a signal holds frames of one kind: choose with --frames")
    shape, dtype = kind
    images = da.stack([da.from_delayed(delayed(recording.image)(place), shape, dtype) for place in places])
    signal: Any = LazySignal2D(images, axes=_axes(len(places), shape, size))
    signal.metadata.General.title = recording.title
    signal.original_metadata.add_dictionary({"Atomstream": _about(frames)})
    step = (1.0, 1.0) if size is None else size
    signal.add_marker(
        hs.plot.markers.Points(offsets=_offsets(frames, step), sizes=_MARK_SHARE * shape[1] * step[1], units="xy", facecolor="none", edgecolor="red"),
        permanent=True,
        plot_marker=False,
    )
    # HyperSpy goes by a file's ending.
    named = file.with_name(f"{file.name}.hspy")
    try:
        signal.save(str(named), overwrite=True, show_progressbar=False)
        named.replace(file)
    finally:
        named.unlink(missing_ok=True)


def _kind(recording: Recording, place: int) -> tuple[tuple[int, int], np.dtype[Any]]:
    found = next(one for one in recording.series if place in one.frames)
    return found.shape, found.dtype


def _axes(count: int, shape: tuple[int, int], size: tuple[float, float] | None) -> list[dict[str, Any]]:
    units = "px" if size is None else "nm"
    frame = {"name": "frame", "size": count, "navigate": True, "scale": 1.0, "offset": 0.0}
    spatial = zip("yx", shape, size or (1.0, 1.0), strict=True)
    return [frame, *({"name": name, "size": side, "navigate": False, "scale": step, "offset": 0.0, "units": units} for name, side, step in spatial)]


def _offsets(frames: Sequence[FrameAtoms], step: tuple[float, float]) -> NDArray[Any]:
    """(x, y) of each frame's atoms on the signal's axes."""
    offsets = np.empty(len(frames), object)
    for k, one in enumerate(frames):
        offsets[k] = one.atoms[:, 1::-1].astype(np.float64) * step[::-1]
    return offsets


def _about(frames: Sequence[FrameAtoms]) -> dict[str, Any]:
    tables = [np.column_stack([np.full(len(one.atoms), one.number), one.atoms.astype(np.float64)]) for one in frames]
    report = frames[0].report
    ensemble = {"name": report.ensemble.name, "version": report.ensemble.version, "sha256": report.ensemble.sha256}
    return {"atoms": np.concatenate(tables), "columns": ["frame", *ATOM_COLUMNS], "classes": list(report.classes), "ensemble": ensemble}
