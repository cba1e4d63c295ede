"""Images by multislice wave propagation through abTEM, an optional package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.ndimage import gaussian_filter, map_coordinates

from ..errors import ExtraMissing, InputError
from ._imaging import Imaging, disturb
from ._specimen import HOST, Specimen

if TYPE_CHECKING:
    from ase import Atoms

_PAD_NM = 0.4
_MARGIN_NM = 0.15
"""How far beyond the frame the scan goes, so that blur and interpolation find what they need."""

_LONE_NM = 0.2
"""Side of the field of view in which a lone column is imaged."""


@dataclass(frozen=True)
class Beam:
    """Probe, detector and how finely both are computed.

    energy_eV : beam energy
    convergence_mrad : semi-angle of the probe-forming aperture
    detector_mrad : inner and outer angle of the annular detector
    defocus_nm : positive = underfocus
    source_nm : standard deviation of the effective source in the specimen's plane; the image is blurred by it
    potential_nm : sampling of the potential; it must be fine enough for the outer detector angle
    slice_nm : thickness of a slice
    phonons : snapshots of thermal motion that are averaged, 0 for atoms at rest
    displacement_nm : standard deviation of an atom's thermal displacement along each axis
    """

    energy_eV: float = 100e3  # noqa: N815
    convergence_mrad: float = 30.0
    detector_mrad: tuple[float, float] = (80.0, 200.0)
    defocus_nm: float = 0.0
    source_nm: float = 0.03
    potential_nm: float = 0.006
    slice_nm: float = 0.1
    phonons: int = 0
    displacement_nm: float = 0.006


@dataclass(frozen=True)
class Column:
    """The atoms on top of each other in one column.

    numbers : atomic numbers, from where the beam enters
    heights_nm : depth of each below where the beam enters
    """

    numbers: tuple[int, ...]
    heights_nm: tuple[float, ...]

    @classmethod
    def stacked(cls, numbers: tuple[int, ...], spacing_nm: float, thickness_nm: float) -> Column:
        """A column in which these elements take turns, `spacing_nm` apart, down to a thickness."""
        count = max(1, int(np.floor(thickness_nm / spacing_nm)))
        return cls(tuple(numbers[k % len(numbers)] for k in range(count)), tuple(k * spacing_nm for k in range(count)))


@dataclass(frozen=True)
class Multislice:
    """Image formation by multislice, in place of `expose`; raises `ExtraMissing` where abTEM is not installed.

    The beam makes the spots: neither `Imaging.probe_nm` nor the brightness of the specimen's atoms enters. Background and
    scan-line jitter are those of `Imaging`.

    beam : probe and detector
    columns : what stands at the atoms of each kind; `HOST` is what brightness is measured against
    """

    beam: Beam
    columns: Mapping[int, Column]

    def __call__(self, specimen: Specimen, imaging: Imaging, *, rng: np.random.Generator) -> NDArray[np.float64]:
        """The noiseless image, shape `imaging.shape`; 1 is the peak of a lone host column above the background."""
        host = self.columns.get(HOST)
        strangers = sorted({int(kind) for kind in specimen.kind} - set(self.columns))
        if strangers or host is None:
            raise InputError(f"multislice must know what the columns of kind {HOST if host is None else strangers} hold; it knows {sorted(self.columns)}")
        columns = [self.columns[int(kind)] for kind in specimen.kind]
        image = multislice_image(_atoms(specimen.positions_nm, columns), self.beam, imaging.pixel_nm, imaging.shape)
        return disturb(image / _lone_peak(self.beam, host), imaging, rng=rng)


def multislice_image(atoms: Atoms, beam: Beam, pixel_nm: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """The share of the beam's electrons that reach the detector at each pixel, shape `shape`, without noise and background.

    A square nanometre of a monolayer takes about 2500 probes, 10 to 30 s on one core; thicker specimens in proportion to their slices.

    atoms : `ase.Atoms`, Å; x runs along the columns, y along the rows, pixel (0, 0) is at the origin, the beam runs along z.
        Atoms up to 0.4 nm outside the frame take part; cell and periodicity don't count

    Raises `ExtraMissing` without abTEM, `InputError` for a detector beyond the angles that the potential's sampling allows.
    """
    abtem, ase = _packages()
    pad = 10 * _PAD_NM
    size = 10 * pixel_nm * np.array(shape[::-1]) + 2 * pad
    placed = atoms.positions[:, :2] + pad
    near = np.all((placed >= 0) & (placed < size), axis=1)
    if not near.any():
        return np.zeros(shape)
    depth = atoms.positions[near, 2] - atoms.positions[near, 2].min()
    inside = ase.Atoms(numbers=atoms.numbers[near], positions=np.column_stack([placed[near], depth + 2.0]), cell=[*size, float(np.ptp(depth)) + 4.0], pbc=True)
    if beam.phonons:
        inside = abtem.FrozenPhonons(inside, num_configs=beam.phonons, sigmas=10 * beam.displacement_nm, seed=1)
    gpts = tuple(next_fast_len(int(np.ceil(length / (10 * beam.potential_nm)))) for length in size)
    potential = abtem.Potential(inside, gpts=gpts, slice_thickness=10 * beam.slice_nm)
    probe = abtem.Probe(energy=beam.energy_eV, semiangle_cutoff=beam.convergence_mrad, defocus=10 * beam.defocus_nm)
    probe.grid.match(potential)
    reach = min(probe.cutoff_angles)
    if beam.detector_mrad[1] > reach:
        enough = beam.potential_nm * reach / beam.detector_mrad[1]
        raise InputError(
            f"a potential sampled at {beam.potential_nm} nm scatters up to {reach:.0f} mrad only, the detector reaches to {beam.detector_mrad[1]}:"
            f" take potential_nm below {enough:.4f}"
        )
    start = np.full(2, pad - 10 * _MARGIN_NM)
    points = np.ceil((size - 2 * start) / (float(probe.aperture.nyquist_sampling) / 1.2)).astype(int)
    scan = abtem.GridScan(start=tuple(start), end=tuple(size - start), gpts=tuple(int(n) for n in points), endpoint=False)
    detector = abtem.AnnularDetector(inner=beam.detector_mrad[0], outer=beam.detector_mrad[1])
    measured = probe.scan(potential, scan=scan, detectors=detector).compute(progress_bar=False).array
    return _resampled(np.asarray(measured, np.float64).T, ((size - 2 * start) / points)[::-1], pixel_nm, shape, beam.source_nm)


@lru_cache(maxsize=64)
def _lone_peak(beam: Beam, column: Column) -> float:
    """The brightest pixel of a column that stands alone."""
    alone = _atoms(np.full((1, 2), _LONE_NM / 2), [column])
    return float(multislice_image(alone, beam, _LONE_NM / 20, (21, 21)).max())


def _atoms(positions_nm: NDArray[np.float64], columns: list[Column]) -> Atoms:
    """All atoms of all columns, Å."""
    _, ase = _packages()
    places = [(10 * x, 10 * y, 10 * height) for (y, x), column in zip(positions_nm, columns, strict=True) for height in column.heights_nm]
    return ase.Atoms(numbers=[number for column in columns for number in column.numbers], positions=np.array(places).reshape(-1, 3))


def _resampled(measured: NDArray[np.float64], step: NDArray[np.float64], pixel_nm: float, shape: tuple[int, int], source_nm: float) -> NDArray[np.float64]:
    """A scan with steps (y, x) in Å, finer than its band limit, at the frame's pixels and blurred by the source."""
    blurred = gaussian_filter(measured, 10 * source_nm / step) if source_nm else measured
    rows, columns = ((10 * pixel_nm * np.arange(n) + 10 * _MARGIN_NM) / one for n, one in zip(shape, step, strict=True))
    return np.asarray(map_coordinates(blurred, np.meshgrid(rows, columns, indexing="ij"), order=5, mode="nearest"), np.float64)


def _packages() -> tuple[Any, Any]:
    """abTEM and ASE."""
    try:
        import abtem  # noqa: PLC0415
        import ase  # noqa: PLC0415
    except ImportError as missing:
        raise ExtraMissing("abtem", "multislice") from missing
    return abtem, ase
