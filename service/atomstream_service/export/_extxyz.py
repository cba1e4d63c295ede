from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from atomstream_models.errors import ExtraMissing, InputError
from atomstream_wire import ATOM_COLUMNS

from ._rows import FrameAtoms

_A_PER_NM = 10.0
_THICKNESS_A = 10.0
"""Of the cell across the image, of which an image says nothing."""


def write_extxyz(file: Path, frames: Iterable[FrameAtoms]) -> None:
    """One structure a frame: x along the columns, y along the rows (downwards in the image), z = 0, in Å; the cell is the field of view.

    Raises `ExtraMissing` without ASE and `InputError` for a frame without a pixel size.
    """
    try:
        from ase import Atoms  # noqa: PLC0415
        from ase.data import chemical_symbols  # noqa: PLC0415
        from ase.io import write  # noqa: PLC0415
    except ImportError as missing:
        raise ExtraMissing("ase", "structures") from missing
    elements = set(chemical_symbols)
    with file.open("w", encoding="utf-8") as out:
        for frame in frames:
            if frame.pixel_nm is None:
                raise InputError(f"the pixel size of frame {frame.number} is unknown, and positions in Å need it: give --pixel-size-nm")
            y, x = _A_PER_NM * frame.positions_nm.T
            height, width = _A_PER_NM * np.array(frame.report.shape) * frame.pixel_nm
            classes = frame.classes
            structure = Atoms(
                [name if name in elements else "X" for name in classes],
                positions=np.column_stack([x, y, np.zeros(len(x))]),
                cell=[width, height, _THICKNESS_A],
                pbc=False,
                info=_info(frame),
            )
            structure.set_array("class", np.array(classes, dtype=str))
            for name in ("p", "p_std", "votes", "sigma_y", "sigma_x", "area", "id"):
                values = frame.atoms[:, ATOM_COLUMNS.index(name)]
                structure.set_array(name, values.astype(np.int64) if name in ("votes", "id") else values.astype(np.float64))
            write(out, structure, format="extxyz")


def _info(frame: FrameAtoms) -> dict[str, Any]:
    report = frame.report
    return {"frame": frame.number, "source": report.source, "seq": report.seq, "time": report.t_recv, "generation": report.ensemble.generation}
