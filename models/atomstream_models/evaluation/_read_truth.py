"""Truth in files: CSV and npz."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ._truth import Truth, inside, matching_radius_px


@dataclass
class _Labels:
    """What a file says of one frame; `kinds` None where it names no classes."""

    yx: list[tuple[float, float]] = field(default_factory=list)
    kinds: list[int] | None = None


def read_truth(file: Path, shape: tuple[int, int], classes: Sequence[str], *, match_px: float | None = None, pixel_nm: float | None = None) -> dict[int, Truth]:
    """The truth of every frame that a file labels, by frame number.

    CSV has a header line with `y`, `x` in pixels and optionally `frame` (0 where the column is missing) and `class`
    (index or name; empty for an atom that need not be found, such as one in contamination); other columns are ignored.
    A line with a frame and neither y nor x says that this frame was looked at and holds no atom.
    npz has `atoms_yx` (N, 2) and optionally `kinds` (N,), with -1 for what need not be found, and `frame` (N,).

    shape : (rows, columns) of the frames; atoms outside need not be found
    classes : names of the classes in the order of their indices
    match_px : matching radius in pixels; 0.35 of the labelled atoms' median nearest-neighbour distance by default

    Raises
    ------
    InputError
        naming the line, the column or the array that can't be used.
    """
    if match_px is not None and not match_px > 0:
        raise InputError(f"a matching radius of {match_px:g} pixels is not above 0")
    kind = file.suffix.lower()
    if kind == ".csv":
        labels = _read_csv(file, classes)
    elif kind == ".npz":
        labels = _read_npz(file, len(classes))
    else:
        raise InputError(f"{file} is neither a .csv nor an .npz file")
    if not labels:
        raise InputError(f"{file} labels no frame")
    arrays = {frame: _arrays(one, shape) for frame, one in sorted(labels.items())}
    radius = match_px or _radius_px(file, [yx[required] for yx, required, _ in arrays.values()])
    return {frame: Truth(yx, required, radius, kinds, pixel_nm) for frame, (yx, required, kinds) in arrays.items()}


def _radius_px(file: Path, atoms: Sequence[NDArray[np.float64]]) -> float:
    try:
        return matching_radius_px(atoms)
    except InputError as error:
        raise InputError(f"{file}: {error} (--match-px)") from error


def _arrays(labels: _Labels, shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64] | None]:
    yx = np.array(labels.yx, np.float64).reshape(-1, 2)
    kinds = None if labels.kinds is None else np.array(labels.kinds, np.int64)
    required = inside(yx, shape)
    return yx, required if kinds is None else required & (kinds >= 0), kinds


def _read_csv(file: Path, classes: Sequence[str]) -> dict[int, _Labels]:
    labels: dict[int, _Labels] = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            rows = csv.DictReader(text, skipinitialspace=True)
            names = [name.strip() for name in rows.fieldnames or ()]
            if missing := [name for name in ("y", "x") if name not in names]:
                raise InputError(f"{file} has no column {' and no column '.join(missing)}; its first line is {', '.join(names) or 'empty'}")
            rows.fieldnames = names
            for row in rows:
                _add_row(labels, row, classes, f"{file} line {rows.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} can't be read: {error}") from error
    return labels


def _add_row(labels: dict[int, _Labels], row: dict[str, str | None], classes: Sequence[str], where: str) -> None:
    frame = _whole(row["frame"], f"{where}, column frame") if "frame" in row else 0
    if frame < 0:
        raise InputError(f"{where}, column frame: {frame} is below 0")
    one = labels.setdefault(frame, _Labels(kinds=[] if "class" in row else None))
    if not (row["y"] or "").strip() and not (row["x"] or "").strip() and "frame" in row:
        return
    one.yx.append((_number(row["y"], f"{where}, column y"), _number(row["x"], f"{where}, column x")))
    if one.kinds is not None:
        one.kinds.append(_kind((row["class"] or "").strip(), classes, f"{where}, column class"))


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InputError(f"{where}: {(text or '').strip()!r} is not a number")
    return value


def _whole(text: str | None, where: str) -> int:
    value = _number(text, where)
    if value != int(value):
        raise InputError(f"{where}: {(text or '').strip()!r} is not a whole number")
    return int(value)


def _kind(text: str, classes: Sequence[str], where: str) -> int:
    if not text:
        return -1
    if text in classes:
        return classes.index(text)
    try:
        kind = int(float(text))
        if kind == float(text) and -1 <= kind < len(classes):
            return kind
    except (ValueError, OverflowError):
        pass
    raise InputError(f"{where}: {text!r} is neither one of the classes {', '.join(classes)} nor one of their numbers 0 to {len(classes) - 1}")


def _read_npz(file: Path, classes: int) -> dict[int, _Labels]:
    try:
        with file.open("rb") as data:
            if not zipfile.is_zipfile(data):
                raise InputError(f"{file} is not an .npz file")
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("atoms_yx", "kinds", "frame") if name in arrays.files}
            names = arrays.files
    except InputError:
        raise
    except Exception as error:  # numpy and zipfile raise far more types for damaged files than they document
        raise InputError(f"{file} can't be read: {error}") from error
    if "atoms_yx" not in found:
        raise InputError(f"{file} holds {', '.join(names)}; name the true positions 'atoms_yx'")
    yx = found["atoms_yx"]
    if yx.ndim != 2 or yx.shape[1] != 2 or yx.dtype.kind not in "iuf" or not np.isfinite(yx).all():
        raise InputError(f"{file}, array atoms_yx: {yx.dtype} of shape {list(yx.shape)} is not (N, 2) finite numbers")
    for name in ("kinds", "frame"):
        if name in found and (found[name].shape != yx.shape[:1] or found[name].dtype.kind not in "iu"):
            raise InputError(f"{file}, array {name}: {found[name].dtype} of shape {list(found[name].shape)} is not {len(yx)} whole numbers, one an atom")
    kinds, frame = found.get("kinds"), found.get("frame", np.zeros(len(yx), np.int64))
    if kinds is not None and len(kinds) and not -1 <= kinds.min() <= kinds.max() < classes:
        raise InputError(f"{file}, array kinds: {kinds.min()} to {kinds.max()} are not class numbers from -1 to {classes - 1}")
    if len(frame) and frame.min() < 0:
        raise InputError(f"{file}, array frame: {frame.min()} is below 0")
    numbers = np.unique(frame) if "frame" in found else np.zeros(1, np.int64)
    return {int(k): _Labels(list(map(tuple, yx[frame == k].tolist())), None if kinds is None else kinds[frame == k].tolist()) for k in numbers}
