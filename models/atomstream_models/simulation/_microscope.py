"""A simulated microscope: a graphene movie that starts mild and then drifts, with the truth beside each frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ._imaging import Imaging, Noise, add_noise, expose
from ._specimen import HOST, Specimen, amorphous_patch, graphene, pierce, substitute

_HOPS_PER_FRAME = 0.03
_SILICON = 4.2
"""Brightness of a silicon atom against a carbon atom in an annular dark-field image, (14/6)^1.7."""


@dataclass(frozen=True)
class MicroscopeFrame:
    """One simulated scan.

    image : ndarray, shape (rows, columns), uint16, counts
    atoms_yx : ndarray, shape (N, 2), true atom centres in pixels; those just outside the frame are included
    kinds : ndarray, shape (N,), class index of each atom, -1 where no labelling is fair (contamination)
    neighbour_px : nearest-neighbour distance of the lattice, in pixels
    pixel_nm : pixel size in nm
    """

    image: NDArray[np.uint16]
    atoms_yx: NDArray[np.float64]
    kinds: NDArray[np.int64]
    neighbour_px: float
    pixel_nm: float


class SimulatedMicroscope:
    """Streams scans of one graphene sheet with silicon atoms that hop now and then.

    The first `mild` frames are well exposed. From then on conditions drift steadily over `drift` frames:
    the dose falls, the focus and with it the probe widens, scan lines jitter, a hole opens and contamination creeps in.

    seed : every movie of the same seed and shape is the same
    shape : frame shape (rows, columns)
    pixel_nm : pixel size in nm
    """

    def __init__(self, seed: int = 0, shape: tuple[int, int] = (512, 512), pixel_nm: float = 0.0104, *, mild: int = 8, drift: int = 24) -> None:
        self._rng = np.random.default_rng([seed, *shape])
        self._shape = shape
        self._pixel_nm = pixel_nm
        self._mild = mild
        self._drift = drift
        self._index = 0
        self._field = (shape[0] * pixel_nm, shape[1] * pixel_nm)
        area = self._field[0] * self._field[1]
        sheet = graphene(self._field, self._rng.uniform(0, np.pi / 3), rng=self._rng)
        centres = self._rng.uniform(0.1, 0.9, (max(1, round(0.35 * area)), 2)) * self._field
        self._pristine = sheet
        self._silicon = [sheet.positions_nm[k] for k in self._nearest(centres)]
        self._hole = tuple(self._rng.uniform(0.25, 0.75, 2) * self._field)
        self._dirt = tuple(self._rng.uniform(0.1, 0.9, 2) * self._field)
        self._wander = np.zeros(2)

    def next_frame(self) -> MicroscopeFrame:
        """The next scan of the movie."""
        severity = float(np.clip((self._index - self._mild + 1) / self._drift, 0, 1))
        self._index += 1
        self._wander += self._rng.normal(0, 0.004, 2)
        self._hop()
        specimen = self._specimen_now(severity)
        imaging = Imaging(
            pixel_nm=self._pixel_nm,
            shape=self._shape,
            probe_nm=(0.040 + 0.012 * severity, 0.040 + 0.018 * severity),
            line_jitter_px=0.2 + 0.8 * severity,
            background=0.6,
            background_swing=0.1 + 0.5 * severity,
        )
        noise = Noise(counts_per_host=60.0 * (0.06**severity), readout=0.02)
        detected = add_noise(expose(specimen, imaging, rng=self._rng), noise, rng=self._rng)
        counts = np.clip(np.rint(detected * noise.counts_per_host * 20 + 100), 0, 65535).astype(np.uint16)
        atoms_px = specimen.positions_nm / self._pixel_nm
        return MicroscopeFrame(counts, atoms_px, specimen.kind, specimen.neighbour_nm / self._pixel_nm, self._pixel_nm)

    def _nearest(self, points_nm: NDArray[np.float64]) -> NDArray[np.int64]:
        """Indices of the lattice sites nearest to some points (M, 2)."""
        squares = np.sum((self._pristine.positions_nm[:, None] - points_nm[None]) ** 2, axis=2)
        nearest: NDArray[np.int64] = np.argmin(squares, axis=0)
        return nearest

    def _hop(self) -> None:
        """Let each silicon atom jump to a neighbouring site with a small chance."""
        for k, seat in enumerate(self._silicon):
            if self._rng.random() < _HOPS_PER_FRAME:
                angle = self._rng.uniform(0, 2 * np.pi)
                aim = seat + self._pristine.neighbour_nm * np.array([np.sin(angle), np.cos(angle)])
                self._silicon[k] = self._pristine.positions_nm[self._nearest(aim[None])[0]]

    def _specimen_now(self, severity: float) -> Specimen:
        specimen = substitute(self._pristine, np.array(self._silicon), _SILICON, rng=np.random.default_rng(0))
        if severity:
            short = min(self._field)
            specimen = pierce(specimen, (float(self._hole[0]), float(self._hole[1])), 0.2 * short * severity)
            dirt = (float(self._dirt[0]), float(self._dirt[1]))
            specimen = amorphous_patch(specimen, dirt, 0.18 * short * severity, 40.0, 1.5, rng=self._rng)
        shaken = specimen.positions_nm + self._wander + self._rng.normal(0, 0.003, specimen.positions_nm.shape)
        margin = specimen.neighbour_nm
        near = np.all((shaken > -margin) & (shaken < np.array(self._field) + margin), axis=1)
        return replace(specimen, positions_nm=shaken).keep(near)


def labelled(frame: MicroscopeFrame) -> NDArray[np.bool_]:
    """Which atoms of a frame a finder must find: labelled ones whose centre lies inside the frame."""
    inside = np.all((frame.atoms_yx >= -0.5) & (frame.atoms_yx < np.array(frame.image.shape) - 0.5), axis=1)
    found: NDArray[np.bool_] = inside & (frame.kinds >= HOST)
    return found
