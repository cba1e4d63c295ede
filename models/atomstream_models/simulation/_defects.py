"""What disturbs a lattice: impurities, holes, missing atoms, matter on top."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ._outlines import Outline
from ._specimen import HOST, IMPURITY, Specimen


def substitute(specimen: Specimen, centres_nm: NDArray[np.float64], brightness: float, *, cluster: int = 1, rng: np.random.Generator) -> Specimen:
    """Heavy impurities in place of host atoms, each centre a single one or a tight cluster (a Si trimer has `cluster=3`).

    centres_nm : ndarray, shape (M, 2); a single impurity takes the place of the host atom nearest to its centre
    brightness : intensity of an impurity relative to a host atom
    """
    for centre in centres_nm:
        hosts = specimen.kind == HOST
        if not hosts.any():
            break
        seat = specimen.positions_nm[hosts][np.argmin(np.sum((specimen.positions_nm[hosts] - centre) ** 2, axis=1))]
        angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(cluster) / cluster
        ring = 0.0 if cluster == 1 else specimen.neighbour_nm * rng.uniform(1.45, 1.8) / (2 * np.sin(np.pi / cluster))
        added = seat + ring * np.stack([np.sin(angles), np.cos(angles)], 1)
        distance = np.linalg.norm(specimen.positions_nm[:, None] - added[None], axis=2).min(axis=1)
        crowded = (distance < 0.75 * specimen.neighbour_nm) & (specimen.kind == HOST)
        specimen = specimen.keep(~crowded).join(added, brightness * rng.uniform(0.85, 1.15, cluster), IMPURITY)
    return specimen


def pierce(specimen: Specimen, centre_nm: tuple[float, float], radius_nm: float) -> Specimen:
    """The specimen with a round hole."""
    return specimen.keep(np.sum((specimen.positions_nm - np.array(centre_nm)) ** 2, axis=1) > radius_nm**2)


def growing_hole(specimen: Specimen, where: Outline, radii_nm: Iterable[float]) -> Iterator[Specimen]:
    """The specimen with a hole of one shape and these mean radii, one after the other; nothing that once fell out comes back."""
    left = specimen
    for radius_nm in radii_nm:
        left = left.keep(~where.grown(radius_nm).contains(left.positions_nm))
        yield left


def amorphous_patch(
    specimen: Specimen, centre_nm: tuple[float, float], radius_nm: float, density_per_nm2: float, brightness: float, *, rng: np.random.Generator
) -> Specimen:
    """The specimen with a patch of unlabelled, disordered matter on top; the lattice below it is lost to labelling."""
    covered = np.sum((specimen.positions_nm - np.array(centre_nm)) ** 2, axis=1) < radius_nm**2
    count = rng.poisson(density_per_nm2 * np.pi * radius_nm**2)
    angle, r = rng.uniform(0, 2 * np.pi, count), radius_nm * np.sqrt(rng.random(count))
    dirt = np.array(centre_nm) + np.stack([r * np.sin(angle), r * np.cos(angle)], 1)
    buried = replace(specimen, kind=np.where(covered, -1, specimen.kind))
    return buried.join(dirt, brightness * rng.uniform(0.4, 1.2, count), -1)


def remove_atoms(specimen: Specimen, *, count: int | None = None, fraction: float | None = None, kind: int | None = None, rng: np.random.Generator) -> Specimen:
    """The specimen with vacancies: atoms chosen at random are gone.

    count, fraction : how many to remove, as a number or as a share of those that may go; exactly one of the two
    kind : only atoms of this class may go; None lets all go

    Raises `InputError` for both or neither of count and fraction, for a fraction outside 0 to 1, for more atoms than there are.
    """
    may_go = np.flatnonzero(specimen.kind == kind) if kind is not None else np.arange(len(specimen.kind))
    if (count is None) == (fraction is None):
        raise InputError(f"remove either a count or a fraction of the atoms, got count {count} and fraction {fraction}")
    if fraction is not None and not 0 <= fraction <= 1:
        raise InputError(f"the fraction of atoms to remove must lie in 0 to 1, got {fraction}")
    number = round(fraction * len(may_go)) if fraction is not None else int(count or 0)
    if not 0 <= number <= len(may_go):
        raise InputError(f"{number} atoms can't be removed from {len(may_go)}")
    stays = np.ones(len(specimen.kind), bool)
    stays[rng.choice(may_go, number, replace=False)] = False
    return specimen.keep(stays)


def dwindle(specimen: Specimen, *, last: int = 10, step: int = 1, rng: np.random.Generator) -> Iterator[Specimen]:
    """The specimen, then again and again with `step` more atoms gone at random, down to `last` atoms, as in the ELIT paper.

    The first one yielded is whole; the last one has `last` atoms, or all if it never had more.

    Raises `InputError` for a step below 1 or a negative `last`.
    """
    if step < 1 or last < 0:
        raise InputError(f"atoms are removed in steps of at least 1 down to at least 0, got step {step}, last {last}")
    order = rng.permutation(len(specimen.kind))
    counts = [*range(len(order), last, -step), last] if len(order) > last else [len(order)]
    for left in counts:
        yield specimen.keep(np.isin(np.arange(len(order)), order[:left]))
