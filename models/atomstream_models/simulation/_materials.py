"""Crystals as a STEM sees them along an axis: perovskite, rock salt, molybdenum disulphide."""

from __future__ import annotations

import numpy as np

from ._lattices import Motif, Placement, honeycomb, tile
from ._scattering import brightness_of, column_brightness
from ._specimen import A_SITE, B_SITE, HOST, UNLABELLED, Specimen

LSMO_CELL_NM = 0.388
"""Pseudocubic lattice constant of La0.7Sr0.3MnO3 (Martin et al. 1996, doi 10.1103/PhysRevB.53.14285)."""

NIO_CELL_NM = 0.4177
"""Lattice constant of NiO, rock salt (Bartel and Morosin 1971, doi 10.1103/PhysRevB.3.1039)."""

MOS2_CELL_NM = 0.316
"""In-plane lattice constant of 2H-MoS2 (Dickinson and Pauling 1923, doi 10.1021/ja01659a020)."""

_LSMO_A = column_brightness({57: 0.7, 38: 0.3})
LSMO_B_BRIGHTNESS = column_brightness({25: 1, 8: 1}) / _LSMO_A
"""A Mn-O column of La0.7Sr0.3MnO3 against a La-Sr column of the same length."""

LSMO_OXYGEN_BRIGHTNESS = column_brightness({8: 1}) / _LSMO_A
"""An oxygen column of La0.7Sr0.3MnO3 against a La-Sr column of the same length."""

NIO_IN_LSMO_BRIGHTNESS = column_brightness({28: 1, 8: 1}) * LSMO_CELL_NM / NIO_CELL_NM / _LSMO_A
"""A Ni-O column against a La-Sr column of La0.7Sr0.3MnO3 of the same length."""

S2_BRIGHTNESS = float(2 * brightness_of(16, 42))
"""Two sulphur atoms on top of each other against one molybdenum atom."""


def perovskite(
    field_nm: tuple[float, float],
    placement: Placement | None = None,
    *,
    cell_nm: float = LSMO_CELL_NM,
    b_brightness: float = LSMO_B_BRIGHTNESS,
    oxygen_brightness: float = 0.0,
    tetragonality: float = 1.0,
    polar_shift_nm: tuple[float, float] = (0.0, 0.0),
    rng: np.random.Generator,
) -> Specimen:
    """A perovskite ABO3 along [001]: A columns (`A_SITE`) on a square lattice, B columns (`B_SITE`) near the centres of its squares.

    cell_nm : pseudocubic lattice constant
    b_brightness : a B column against an A column, which is the host
    oxygen_brightness : a pure oxygen column against an A column; 0 leaves these columns out, else they are there but unlabelled
    tetragonality : ratio of the cell's edges, the one that is along y before the turn against the one along x
    polar_shift_nm : displacement (y, x) of the B columns from the centres, before the turn
    """
    edges = cell_nm * np.array([tetragonality, 1.0])
    sites = np.array([[0.0, 0.0], [0.5, 0.5], [0.5, 0.0], [0.0, 0.5]]) * edges
    sites[1] += polar_shift_nm
    count = 4 if oxygen_brightness else 2
    brightness = (1.0, b_brightness, oxygen_brightness, oxygen_brightness)[:count]
    motif = Motif(sites[:count], brightness, (A_SITE, B_SITE, UNLABELLED, UNLABELLED)[:count])
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * edges
    neighbour_nm = float(min(np.linalg.norm(sites[1] - corners, axis=1).min(), edges.min()))
    return tile(np.diag(edges), motif, field_nm, placement or Placement(), neighbour_nm, rng=rng)


def rock_salt(
    field_nm: tuple[float, float],
    placement: Placement | None = None,
    *,
    cell_nm: float = NIO_CELL_NM,
    brightness: float = 1.0,
    kind: int = HOST,
    rng: np.random.Generator,
) -> Specimen:
    """A rock-salt oxide along [001]: columns on a square lattice of half the lattice constant, all alike (metal and oxygen take turns in each).

    brightness, kind : of every column; inside a perovskite, relative to its A columns (`NIO_IN_LSMO_BRIGHTNESS`)
    """
    spacing_nm = cell_nm / 2
    return tile(spacing_nm * np.eye(2), Motif(np.zeros((1, 2)), (brightness,), (kind,)), field_nm, placement or Placement(), spacing_nm, rng=rng)


def mos2(
    field_nm: tuple[float, float],
    placement: Placement | None = None,
    *,
    cell_nm: float = MOS2_CELL_NM,
    s2_brightness: float = S2_BRIGHTNESS,
    sulphur_vacancies: float = 0.0,
    dopants: float = 0.0,
    dopant_number: int = 23,
    dopant_kind: int = HOST,
    rng: np.random.Generator,
) -> Specimen:
    """A monolayer of 2H-MoS2 from above: molybdenum (class 0) and sulphur pairs (class 1) on the two sublattices of a honeycomb.

    sulphur_vacancies : chance that a sulphur site lacks one of its two atoms, and so half its brightness
    dopants : chance that another metal sits in place of a molybdenum atom
    dopant_number, dopant_kind : its atomic number (23 is vanadium) and class index
    """
    bond_nm = cell_nm / np.sqrt(3)
    cell, sites = honeycomb(bond_nm)
    sheet = tile(cell, Motif(sites, (1.0, s2_brightness), (0, 1)), field_nm, placement or Placement(), bond_nm, rng=rng)
    brightness, kind = sheet.brightness.copy(), sheet.kind.copy()
    chance = rng.random(len(kind))
    brightness[(kind == 1) & (chance < sulphur_vacancies)] /= 2
    replaced = (kind == 0) & (chance < dopants)
    brightness[replaced] = brightness_of(dopant_number, 42)
    kind[replaced] = dopant_kind
    return Specimen(sheet.positions_nm, brightness, kind, bond_nm)
