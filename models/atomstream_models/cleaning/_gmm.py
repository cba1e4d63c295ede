"""Which atoms sit in lattice and which in amorphous matter, by a Gaussian mixture over the patches around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ExtraMissing, InputError
from ._patches import FramePatches, spectra

Covariance = Literal["full", "tied", "diag", "spherical"]
Descriptor = Literal["spectrum", "pixels"]
"""spectrum = power spectrum of the patch; pixels = the patch itself, as in the paper."""

_FITTED = 4000
_DIMENSIONS = 8
_FEWEST = 10
_AT_ONCE = 4096
_LINES = 6


@dataclass(frozen=True)
class PatchClasses:
    """Classes of the patches around atoms.

    labels : one ndarray a frame, shape (atoms,), int64, the component of each atom, -1 where none was fitted
    lattice : components that hold lattice
    periodicity : how far the strongest lines of each component's mean spectrum stand above its average
    counts : atoms of each component
    note : why nothing was fitted, or empty
    """

    labels: tuple[NDArray[np.int64], ...]
    lattice: tuple[int, ...]
    periodicity: tuple[float, ...]
    counts: tuple[int, ...]
    note: str = ""

    @property
    def in_lattice(self) -> tuple[NDArray[np.bool_], ...]:
        """Which atoms of each frame are in a lattice component; all, where nothing was fitted."""
        return tuple(np.isin(one, self.lattice) | (one < 0) for one in self.labels)


def patch_gmm(
    frames: Sequence[NDArray[Any]],
    atoms: Sequence[NDArray[np.floating]],
    *,
    window_px: int = 48,
    components: int = 2,
    covariance: Covariance = "diag",
    descriptor: Descriptor = "spectrum",
    seed: int = 0,
) -> PatchClasses:
    """Components of a Gaussian mixture over the patches around all atoms of all frames (Ghosh et al. 2021, patch-based GMM).

    The paper fits the pixels of the patches. On a lattice of two sites, such as graphene, two components of pixels tend
    to become its two sites instead of lattice and amorphous matter, so patches are described by their power spectra here,
    to which sites are alike; `pixels` gives the paper's way. The mixture is fitted to at most 4000 patches drawn at random,
    along their 8 principal components: some 16 by 16 numbers a patch, most of them noise, would need far
    more atoms than a movie has.

    A component is lattice if its mean spectrum's lines stand out nearly as far as the best one's: closer to the best
    than to the worst. With fewer than 10 atoms a component, or where all patches are alike, nothing is fitted, all labels are -1 and
    `note` says so.

    frames : arrays (rows, columns), finite
    atoms : for each frame an array (N, 2 or more) that begins with y, x in pixels
    window_px : side of a patch in pixels; a few lattice periods

    Raises
    ------
    InputError
        where frames and atoms differ in number, or a number makes no sense.
    ExtraMissing
        without scikit-learn.
    """
    if len(frames) != len(atoms):
        raise InputError(f"{len(frames)} frames came with atoms of {len(atoms)}")
    if components < 2:
        raise InputError(f"components = {components} can't separate anything: 2 is the least")
    found = sum(map(len, atoms))
    if found < _FEWEST * components:
        return _unfitted(atoms, f"{found} atoms are too few for {components} patch components: all were kept")
    mixture = _mixture(components, covariance, seed)
    describe, fitted = _fit_description(frames, atoms, window_px, descriptor, seed)
    if fitted is None:
        return _unfitted(atoms, "all patches are alike: all atoms were kept")
    mixture.fit(fitted)
    labels, power = [], np.zeros((components, 1, 1))
    for frame, yx in zip(frames, atoms, strict=True):
        one, spectrum = np.empty(len(yx), np.int64), FramePatches(frame, window_px)
        for start in range(0, len(yx), _AT_ONCE):
            patches = spectrum.at(yx[start : start + _AT_ONCE, :2])
            mine = mixture.predict(describe(patches))
            one[start : start + _AT_ONCE] = mine
            shares = spectra(patches)
            power = power + np.stack([shares[mine == k].sum(axis=0) for k in range(components)])
        labels.append(one)
    counts = tuple(int(sum(np.count_nonzero(one == k) for one in labels)) for k in range(components))
    periodicity = tuple(_periodicity(one) for one in power)
    middle = (max(periodicity) + min(p for p, count in zip(periodicity, counts, strict=True) if count)) / 2
    lattice = tuple(k for k in range(components) if counts[k] and periodicity[k] >= middle)
    return PatchClasses(tuple(labels), lattice, periodicity, counts)


def _unfitted(atoms: Sequence[NDArray[np.floating]], note: str) -> PatchClasses:
    return PatchClasses(tuple(np.full(len(one), -1, np.int64) for one in atoms), (), (), (), note)


def _mixture(components: int, covariance: Covariance, seed: int) -> Any:
    try:
        from sklearn.mixture import GaussianMixture  # noqa: PLC0415
    except ImportError as error:
        raise ExtraMissing("scikit-learn", "train") from error
    return GaussianMixture(components, covariance_type=covariance, random_state=seed, n_init=3, reg_covar=1e-4)


def _fit_description(frames: Sequence[NDArray[Any]], atoms: Sequence[NDArray[np.floating]], window_px: int, descriptor: Descriptor, seed: int) -> Any:
    """A function from patches to the numbers the mixture sees, and those numbers for the patches it is fitted to (None where all are alike)."""
    from sklearn.decomposition import PCA  # noqa: PLC0415

    found = sum(map(len, atoms))
    drawn = np.zeros(found, bool)
    drawn[np.random.default_rng(seed).permutation(found)[:_FITTED]] = True
    shares = np.split(drawn, np.cumsum([len(one) for one in atoms])[:-1])
    patches = np.concatenate([FramePatches(frame, window_px).at(yx[share, :2]) for frame, yx, share in zip(frames, atoms, shares, strict=True)])
    raw = _raw(patches, descriptor)
    if not np.ptp(raw, axis=0).any():
        return None, None
    principal = PCA(min(_DIMENSIONS, *raw.shape), random_state=seed)
    numbers = principal.fit_transform(raw)
    scale = float(numbers[:, 0].std())

    def describe(some: NDArray[np.float32]) -> NDArray[np.floating]:
        return np.asarray(principal.transform(_raw(some, descriptor)) / scale)

    return describe, numbers / scale


def _raw(patches: NDArray[np.float32], descriptor: Descriptor) -> NDArray[np.float64]:
    numbers = np.sqrt(spectra(patches)) if descriptor == "spectrum" else patches
    return numbers.reshape(len(patches), -1).astype(np.float64)


def _periodicity(power: NDArray[np.floating]) -> float:
    """How far the strongest lines of a spectrum stand above its average, lowest frequencies aside."""
    some = power.copy()
    middle = some.shape[0] // 2
    some[middle - 1 : middle + 2, :2] = 0
    mean = float(some.mean())
    return float(np.sort(some, axis=None)[-_LINES:].mean() / mean) if mean > 0 else 0.0
