"""A simulated microscope: a movie that starts mild and then drifts, with the truth beside each frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ._conditions import COLUMN_CONDITIONS, GRAPHENE_CONDITIONS, MONOLAYER_CONDITIONS, Conditions
from ._crystal_stories import Mos2Story, PerovskiteStory, RockSaltStory, lsmo_with_island
from ._graphene_story import GrapheneStory
from ._imaging import Imaging, Noise, add_noise, expose
from ._specimen import HOST, Specimen
from ._story import Story

Material = Literal["graphene", "perovskite", "rock-salt", "mos2"]


@dataclass(frozen=True)
class Exposure:
    """All that made a frame, for comparisons with what theory allows.

    specimen : the atoms, those just outside the frame included
    imaging, noise : the conditions
    """

    specimen: Specimen
    imaging: Imaging
    noise: Noise


@dataclass(frozen=True)
class MicroscopeFrame:
    """One simulated scan.

    image : ndarray, shape (rows, columns), uint16, counts
    atoms_yx : ndarray, shape (N, 2), true atom centres in pixels; those just outside the frame are included
    kinds : ndarray, shape (N,), class index of each atom, -1 where no labelling is fair (contamination)
    neighbour_px : smallest neighbour distance of the lattices that are there, in pixels
    pixel_nm : pixel size in nm
    exposure : what made the frame
    """

    image: NDArray[np.uint16]
    atoms_yx: NDArray[np.float64]
    kinds: NDArray[np.int64]
    neighbour_px: float
    pixel_nm: float
    exposure: Exposure


class SingleImage(NamedTuple):
    """One frame of a perovskite with an island of rock salt.

    frame : the scan; the island's columns are labelled as class 1, like the perovskite's B columns
    island : ndarray, shape (N,), which of the frame's atoms are the island's
    """

    frame: MicroscopeFrame
    island: NDArray[np.bool_]


class _Setup(NamedTuple):
    pixel_nm: float
    story: Callable[[tuple[float, float], np.random.Generator], Story]
    conditions: Conditions
    classes: tuple[str, ...]


_SETUPS: dict[str, _Setup] = {
    "graphene": _Setup(0.0104, GrapheneStory, GRAPHENE_CONDITIONS, ("C", "Si")),
    "perovskite": _Setup(0.02, PerovskiteStory, COLUMN_CONDITIONS, ("A", "B")),
    "rock-salt": _Setup(0.02, RockSaltStory, COLUMN_CONDITIONS, ("A", "B")),
    "mos2": _Setup(0.0176, Mos2Story, MONOLAYER_CONDITIONS, ("Mo", "S")),
}


class SimulatedMicroscope:
    """Streams scans of one specimen.

    The first `mild` frames are well exposed. From then on conditions drift steadily over `drift` frames:
    the dose falls, the focus and with it the probe widens, scan lines jitter, the background swings, contamination creeps in.
    Meanwhile, in graphene silicon atoms hop now and then and a hole opens; in a perovskite an island of rock salt grows;
    in rock salt and MoS2 a hole opens.

    seed : every movie of the same seed, shape, pixel size and material is the same
    shape : frame shape (rows, columns)
    pixel_nm : pixel size in nm; None takes what is usual for the material
    material : `graphene` (classes C, Si), `perovskite` (A, B; the rock-salt island counts as B), `rock-salt` (all B), `mos2` (Mo, S)

    Raises `InputError` for a material that is not one of these, and for an empty shape or pixel.
    """

    def __init__(
        self,
        seed: int = 0,
        shape: tuple[int, int] = (512, 512),
        pixel_nm: float | None = None,
        *,
        mild: int = 8,
        drift: int = 24,
        material: Material = "graphene",
    ) -> None:
        if material not in _SETUPS:
            raise InputError(f"the simulated microscope has no material {material!r}; it has {', '.join(_SETUPS)}")
        setup = _SETUPS[material]
        self.classes = setup.classes
        self._conditions = setup.conditions
        self._pixel_nm = setup.pixel_nm if pixel_nm is None else pixel_nm
        self._shape = shape
        self._mild = mild
        self._drift = drift
        self._index = 0
        self._rng = np.random.default_rng([seed, *shape])
        self._story = setup.story(_field(shape, self._pixel_nm), self._rng)

    def next_frame(self) -> MicroscopeFrame:
        """The next scan of the movie."""
        severity = float(np.clip((self._index - self._mild + 1) / self._drift, 0, 1))
        self._index += 1
        imaging = self._conditions.imaging(severity, self._pixel_nm, self._shape)
        return scan(Exposure(self._story.step(severity), imaging, self._conditions.noise(severity)), self._rng)


def single_image_case(seed: int = 0, shape: tuple[int, int] = (512, 512), pixel_nm: float = 0.02, *, severity: float = 0.3) -> SingleImage:
    """One frame of a perovskite with an island of rock salt: the ELIT paper's single-image case (NiO in LSMO).

    severity : how far the conditions have drifted, 0 to 1
    """
    rng = np.random.default_rng([seed, *shape, 2])
    specimen, island = lsmo_with_island(_field(shape, pixel_nm), rng)
    exposure = Exposure(specimen, COLUMN_CONDITIONS.imaging(severity, pixel_nm, shape), COLUMN_CONDITIONS.noise(severity))
    return SingleImage(scan(exposure, rng), island)


def labelled(frame: MicroscopeFrame) -> NDArray[np.bool_]:
    """Which atoms of a frame a finder must find: labelled ones whose centre lies inside the frame."""
    inside = np.all((frame.atoms_yx >= -0.5) & (frame.atoms_yx < np.array(frame.image.shape) - 0.5), axis=1)
    found: NDArray[np.bool_] = inside & (frame.kinds >= HOST)
    return found


def _field(shape: tuple[int, int], pixel_nm: float) -> tuple[float, float]:
    if min(shape) < 1 or not pixel_nm > 0:
        raise InputError(f"a frame needs rows, columns and a pixel size, got {shape} and {pixel_nm} nm")
    return shape[0] * pixel_nm, shape[1] * pixel_nm


def scan(exposure: Exposure, rng: np.random.Generator) -> MicroscopeFrame:
    """One scan of these conditions: what the detector counts, with the truth."""
    specimen, imaging, noise = exposure.specimen, exposure.imaging, exposure.noise
    detected = add_noise(expose(specimen, imaging, rng=rng), noise, rng=rng)
    counts = np.clip(np.rint(detected * noise.counts_per_host * 20 + 100), 0, 65535).astype(np.uint16)
    pixel_nm = imaging.pixel_nm
    return MicroscopeFrame(counts, specimen.positions_nm / pixel_nm, specimen.kind, specimen.neighbour_nm / pixel_nm, pixel_nm, exposure)
