"""Training images: simulated once without noise, then turned, flipped, exposed and normalised anew for every step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..normalize import normalizer
from ..simulation import HOST, IMPURITY, Imaging, Specimen, amorphous_patch, expose, graphene, pierce, soft_disks, square_lattice, substitute
from ._config import FirstEnsemble

DISK_RADIUS = 0.3
"""Radius of an atom's disc in the target, in nearest-neighbour distances: bonded atoms stay apart."""

DEEPEST_NOISE = 0.35
"""Smallest signal of a host atom's peak against one pixel's noise: below what the eye makes out in one frame."""


@dataclass(frozen=True)
class PatchPool:
    """Noiseless images and their targets.

    images : ndarray, shape (n, side, side), float16, 1 = peak of a lone host atom
    targets : ndarray, shape (n, side, side, 2), uint8, 255 = inside a host atom, an impurity
    """

    images: NDArray[np.float16]
    targets: NDArray[np.uint8]


def simulate_pool(config: FirstEnsemble) -> PatchPool:
    """The training pool of a configuration; the same for the same seed."""
    side = config.patch_px
    images = np.empty((config.patches, side, side), np.float16)
    targets = np.empty((config.patches, side, side, 2), np.uint8)
    for k in range(config.patches):
        rng = np.random.default_rng([config.seed, 11, k])
        specimen, pixel_nm = _random_specimen(config, rng)
        images[k] = expose(specimen, _random_imaging(specimen, pixel_nm, side, rng), rng=rng)
        radius_px = max(DISK_RADIUS * specimen.neighbour_nm / pixel_nm, 2.0)
        for kind in (HOST, IMPURITY):
            atoms_px = specimen.positions_nm[specimen.kind == kind] / pixel_nm
            targets[k, :, :, kind] = np.rint(255 * soft_disks(atoms_px, radius_px, (side, side)))
    return PatchPool(images, targets)


def batches(pool: PatchPool, size: int, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Endless batches: normalised images (size, 1, side, side) and class probabilities (size, 3, side, side), background last."""
    normalize = normalizer("robust")
    while True:
        for chosen in _chunks(rng.permutation(len(pool.images)), size):
            pairs = [_augment(pool, int(k), rng) for k in chosen]
            images = np.stack([normalize(image) for image, _ in pairs])[:, None]
            atoms = np.stack([target for _, target in pairs]).astype(np.float32).transpose(0, 3, 1, 2) / 255
            impurity = atoms[:, IMPURITY]
            host = np.minimum(atoms[:, HOST], 1 - impurity)
            yield images, np.stack([host, impurity, 1 - host - impurity], 1)


def _chunks(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(order) - size + 1, size):
        yield order[start : start + size]


def _augment(pool: PatchPool, k: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    image, target = pool.images[k].astype(np.float64), pool.targets[k]
    turns = int(rng.integers(4))
    image, target = np.rot90(image, turns), np.rot90(target, turns)
    if rng.random() < 0.5:
        image, target = image[:, ::-1], target[:, ::-1]
    return _expose_noisily(np.ascontiguousarray(image), rng), target


def _expose_noisily(image: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Poisson-like plus readout noise of a random strength; sometimes smeared along the fast scan direction."""
    noise = DEEPEST_NOISE**-1 * (0.04 * DEEPEST_NOISE) ** rng.random()
    shot = rng.random()
    level = np.maximum(image, 0) / max(float(image.mean()), 1e-6)
    spread = noise * np.sqrt(shot * level + (1 - shot))
    grain = rng.standard_normal(image.shape)
    if rng.random() < 0.3:
        smear = rng.uniform(0.05, 0.5)
        grain[:, 1:] = (grain[:, 1:] + smear * grain[:, :-1]) / np.hypot(1, smear)
    noisy: NDArray[np.float64] = image + spread * grain
    if rng.random() < 0.3:
        low = noisy.min()
        noisy = (noisy - low) ** rng.uniform(0.7, 1.4)
    if rng.random() < 0.5:
        noisy = np.maximum(noisy, image.mean() - rng.uniform(0.5, 3.0) * spread)
    return noisy


def _random_specimen(config: FirstEnsemble, rng: np.random.Generator) -> tuple[Specimen, float]:
    """A random specimen and the pixel size in nm at which it is seen."""
    side = config.patch_px
    rotation, thermal = rng.uniform(0, 2 * np.pi), rng.choice([0.0, 0.01, 0.03, 0.06])
    if rng.random() < 0.75:
        pixel_nm = float(np.exp(rng.uniform(*np.log(config.pixel_size_nm))))
        field = (side * pixel_nm, side * pixel_nm)
        specimen = graphene(field, rotation, thermal * 0.142, rng=rng)
    else:
        pixel_nm = 0.2 / float(np.exp(rng.uniform(*np.log(config.spacing_px))))
        field = (side * pixel_nm, side * pixel_nm)
        specimen = square_lattice(field, 0.2, rotation, thermal * 0.2, rng=rng)
    specimen = _strain(specimen, field, rng)
    if rng.random() < 0.3:
        specimen = specimen.keep(rng.random(len(specimen.kind)) > rng.uniform(0, 0.25))
    if rng.random() < 0.75:
        count = 1 + rng.poisson(1.5)
        centres = rng.uniform(0, 1, (count, 2)) * field
        for centre in centres:
            cluster = int(rng.choice([1, 1, 1, 2, 3, 4]))
            specimen = substitute(specimen, centre[None], float(np.exp(rng.uniform(np.log(2.0), np.log(9.0)))), cluster=cluster, rng=rng)
    if rng.random() < 0.25:
        specimen = pierce(specimen, tuple(rng.uniform(0, 1, 2) * field), rng.uniform(0.1, 0.6) * field[0])
    if rng.random() < 0.3:
        density = rng.uniform(0.5, 3) / specimen.neighbour_nm**2
        centre = tuple(rng.uniform(-0.2, 1.2, 2) * field)
        specimen = amorphous_patch(specimen, centre, rng.uniform(0.1, 0.5) * field[0], density, rng.uniform(0.3, 2.0), rng=rng)
    return specimen, pixel_nm


def _strain(specimen: Specimen, field: tuple[float, float], rng: np.random.Generator) -> Specimen:
    """Shear and stretch of a few percent, as from sample drift during a slow scan."""
    matrix = np.eye(2) + rng.normal(0, 0.02, (2, 2))
    centre = np.array(field) / 2
    moved = (specimen.positions_nm - centre) @ matrix.T + centre
    return Specimen(moved, specimen.brightness, specimen.kind, specimen.neighbour_nm)


def _random_imaging(specimen: Specimen, pixel_nm: float, side: int, rng: np.random.Generator) -> Imaging:
    width = specimen.neighbour_nm * rng.uniform(0.18, 0.46)
    return Imaging(
        pixel_nm=pixel_nm,
        shape=(side, side),
        probe_nm=(width * rng.uniform(0.85, 1.15), width * rng.uniform(0.85, 1.15)),
        line_jitter_px=float(rng.choice([0.0, 0.3, 0.6, 1.2])),
        background=float(rng.uniform(0, 3)),
        background_swing=float(rng.choice([0.0, 0.1, 0.3, 1.0])),
    )
