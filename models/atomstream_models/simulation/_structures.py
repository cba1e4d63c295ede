"""Specimens from atomic structures in any file that ASE reads: molecular dynamics, crystals, clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..errors import ExtraMissing, InputError
from ._scattering import Z_EXPONENT, brightness_of
from ._specimen import UNLABELLED, Specimen

if TYPE_CHECKING:
    from ase import Atoms

_MOST_ATOMS = 3_000_000
_PLANES = {"z": (1, 0, 2), "y": (2, 0, 1), "x": (2, 1, 0)}
"""Cartesian components that become the image's row and column, and the one along the beam."""


@dataclass(frozen=True)
class Projection:
    """How a structure becomes a specimen.

    field_nm : field of view (height, width) that the specimen covers, and two neighbour distances beyond it
    classes : chemical symbol -> class index, -1 = never labelled
    reference : symbol of the element whose lone atom has brightness 1; None takes the first of class 0
    unknown : what becomes of an element without a class: `unlabelled` atoms of kind -1, or the structure is refused
    beam : the Cartesian axis along which one looks; rows are y and columns x for z, z and x for y, z and y for x
    rotation_rad : turn of the structure in the image, about the middle of the field of view
    offset_nm : shift (y, x) of the structure, whose first unit cell starts in the middle of the field of view
    repeat : cover the field of view along the periodic directions; without it, and along others, the structure stands alone in the middle
    z_exponent : intensity grows as this power of the atomic number
    merge_nm : atoms closer than this in projection are one column with their summed brightness and the class of its brightest part
    neighbour_nm : neighbour distance of the perfect lattice; None takes the median distance to the nearest labelled column
    """

    field_nm: tuple[float, float]
    classes: Mapping[str, int]
    reference: str | None = None
    unknown: Literal["unlabelled", "refuse"] = "unlabelled"
    beam: Literal["x", "y", "z"] = "z"
    rotation_rad: float = 0.0
    offset_nm: tuple[float, float] = (0.0, 0.0)
    repeat: bool = True
    z_exponent: float = Z_EXPONENT
    merge_nm: float = 0.05
    neighbour_nm: float | None = None


def read_structures(path: str | Path, index: str = ":", *, file_format: str | None = None) -> list[Atoms]:
    """The structures in a file, as `ase.Atoms`, positions in Å: extxyz, XDATCAR, POSCAR, CIF, trajectories, all that ASE reads.

    index : which ones, in ASE's notation: `:` all, `::10` every tenth, `-1` the last
    file_format : ASE's name of the format; None lets ASE guess it from name and content

    Raises `ExtraMissing` without ASE and `InputError` for a file that is missing, can't be read or holds no structure.
    """
    try:
        from ase.io import read  # noqa: PLC0415
    except ImportError as missing:
        raise ExtraMissing("ase", "structures") from missing
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        found = read(str(path), index=index, format=file_format)
    except Exception as reason:  # ASE's readers raise whatever their parsing stumbles over
        raise InputError(f"{path}: not a structure that ASE can read with index {index!r}: {type(reason).__name__}: {reason}") from reason
    structures = found if isinstance(found, list) else [found]
    if not structures:
        raise InputError(f"{path}: holds no structure with index {index!r}")
    for number, atoms in enumerate(structures):
        if not np.isfinite(atoms.positions).all():
            raise InputError(f"{path}: structure {number} has an atom without a finite position")
    return structures


def specimens_of(structures: Sequence[Atoms], projection: Projection) -> list[Specimen]:
    """What a STEM sees of each structure (`ase.Atoms`, positions in Å), all with one neighbour distance.

    The neighbour distance, where not given, is measured in the structure with the most atoms: in the paper's sequences, from
    which atoms are removed until few are left, that is the lattice. A structure without atoms is an empty specimen.

    Raises `InputError` for an element without a class where unknown ones are refused, for no element of class 0 where a reference
    is not named, for a structure too small for its neighbour distance to be measured, for more than three million atoms.
    """
    if not structures:
        return []
    reference = _reference(projection)
    columns = [_columns(atoms, projection, reference) for atoms in structures]
    neighbour_nm = projection.neighbour_nm or _neighbour_nm(columns[int(np.argmax([len(atoms) for atoms in structures]))])
    specimens = []
    for positions, brightness, kind in columns:
        near = np.all((positions > -2 * neighbour_nm) & (positions < np.array(projection.field_nm) + 2 * neighbour_nm), axis=1)
        specimens.append(Specimen(positions[near], brightness[near], kind[near], neighbour_nm))
    return specimens


_Columns = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


def _columns(atoms: Atoms, projection: Projection, reference: float) -> _Columns:
    """Positions, brightness and kind of the atom columns."""
    kinds = _kinds(atoms, projection)
    brightness = brightness_of(atoms.numbers, reference, projection.z_exponent) if len(atoms) else np.empty(0)
    positions, source = _placed(atoms, projection)
    return _merged(positions, brightness[source], kinds[source], projection.merge_nm)


def _reference(projection: Projection) -> float:
    from ase.data import atomic_numbers  # noqa: PLC0415

    symbol = projection.reference or next((name for name, kind in projection.classes.items() if kind == 0), None)
    if symbol not in atomic_numbers:
        raise InputError(f"the reference for brightness must be an element, got {symbol!r}: name one, or give one the class 0 in {dict(projection.classes)}")
    return float(atomic_numbers[symbol])


def _kinds(atoms: Atoms, projection: Projection) -> NDArray[np.int64]:
    symbols = atoms.get_chemical_symbols()
    strangers = sorted(set(symbols) - set(projection.classes))
    if strangers and projection.unknown == "refuse":
        raise InputError(f"no class is given for {', '.join(strangers)}; classes are {dict(projection.classes)}")
    return np.array([projection.classes.get(symbol, UNLABELLED) for symbol in symbols], np.int64)


def _placed(atoms: Atoms, projection: Projection) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Projected positions (N, 2) in nm over the field of view, and which atom of the cell each one is."""
    row, column, _ = _PLANES[projection.beam]
    flat = np.asarray(atoms.positions, np.float64)[:, [row, column]] / 10
    steps = _in_plane_vectors(atoms, projection)
    field = np.array(projection.field_nm)
    cos, sin = np.cos(projection.rotation_rad), np.sin(projection.rotation_rad)
    turn = np.array([[cos, sin], [-sin, cos]])
    shifts = _translations(steps, np.hypot(*field) / 2 + np.hypot(*projection.offset_nm) + 1.0 + _span(flat, steps), len(flat))
    if len(steps) == 2:
        flat = (flat @ np.linalg.inv(steps) % 1) @ steps
    if len(steps):
        centre = steps.sum(axis=0) / 2
    else:
        centre = (flat.min(axis=0) + flat.max(axis=0)) / 2 if len(flat) else np.zeros(2)
    positions = ((flat - centre)[None] + shifts[:, None]).reshape(-1, 2) @ turn + field / 2 + projection.offset_nm
    source = np.tile(np.arange(len(flat)), len(shifts))
    near = np.all((positions > -1.0) & (positions < field + 1.0), axis=1)
    return positions[near], source[near]


def _span(flat: NDArray[np.float64], steps: NDArray[np.float64]) -> float:
    """How far, in nm, an atom may lie from the middle of its cell; atoms are wrapped back into a cell that is periodic both ways."""
    if len(steps) == 2:
        return float(np.linalg.norm(steps, axis=1).sum())
    return float(np.abs(flat).max(initial=0.0) * 2 + np.linalg.norm(steps, axis=1).sum())


def _in_plane_vectors(atoms: Atoms, projection: Projection) -> NDArray[np.float64]:
    """Periodic cell vectors as seen in projection, shape (0 to 2, 2) in nm; of three the one most along the beam is left out."""
    if not projection.repeat:
        return np.empty((0, 2))
    row, column, beam = _PLANES[projection.beam]
    cell: NDArray[np.float64] = np.asarray(atoms.cell, np.float64)[np.asarray(atoms.pbc, bool)] / 10
    cell = cell[np.linalg.norm(cell, axis=1) > 1e-6]
    along = np.abs(cell[:, beam]) / np.linalg.norm(cell, axis=1) if len(cell) else np.empty(0)
    if len(cell) == 3 or (len(cell) and along.max() > 0.9):
        cell = np.delete(cell, int(np.argmax(along)), axis=0)
    return cell[:, [row, column]]


def _translations(steps: NDArray[np.float64], reach_nm: float, atoms: int) -> NDArray[np.float64]:
    """All lattice translations (M, 2) in nm not much longer than a reach."""
    if not len(steps):
        return np.zeros((1, 2))
    if len(steps) == 2 and abs(np.linalg.det(steps)) < 1e-6:
        raise InputError(f"the cell has no area in projection: its vectors are {steps.round(4).tolist()} nm")
    heights = np.abs(np.linalg.det(steps)) / np.linalg.norm(steps[::-1], axis=1) if len(steps) == 2 else np.linalg.norm(steps, axis=1)
    counts = np.ceil(reach_nm / heights).astype(np.int64)
    if np.prod(2 * counts + 1.0) * max(atoms, 1) > _MOST_ATOMS:
        raise InputError(f"the field of view would take {np.prod(2 * counts + 1)} cells of {atoms} atoms, at most {_MOST_ATOMS} atoms are allowed")
    grids = np.meshgrid(*(np.arange(-count, count + 1) for count in counts), indexing="ij")
    translations: NDArray[np.float64] = np.stack(grids, -1).reshape(-1, len(steps)) @ steps
    return translations


def _merged(positions: NDArray[np.float64], brightness: NDArray[np.float64], kind: NDArray[np.int64], merge_nm: float) -> _Columns:
    """Columns: chains of atoms each at most `merge_nm` from the next in projection."""
    if not len(positions):
        return positions, brightness, kind
    pairs = cKDTree(positions).query_pairs(merge_nm, output_type="ndarray")
    count = len(positions)
    columns, of = connected_components(coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count)), directed=False)
    total = np.bincount(of, brightness, columns)
    centre = np.stack([np.bincount(of, brightness * positions[:, axis], columns) / total for axis in (0, 1)], 1).astype(np.float64)
    values, which = np.unique(kind.astype(np.int64), return_inverse=True)
    share = np.zeros((columns, len(values)))
    np.add.at(share, (of, which), brightness)
    return centre, total.astype(np.float64), values[share.argmax(axis=1)]


def _neighbour_nm(columns: _Columns) -> float:
    positions, _, kind = columns
    wanted = positions[kind >= 0]
    if len(wanted) < 2:
        raise InputError(f"a neighbour distance can't be measured with {len(wanted)} labelled columns: give neighbour_nm")
    return float(np.median(np.asarray(cKDTree(wanted).query(wanted, k=2)[0])[:, 1]))
