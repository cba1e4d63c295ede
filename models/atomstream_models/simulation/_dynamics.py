"""A short molecular dynamics of carbon, and the ELIT paper's sequence: atoms removed one by one, each stage let move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ExtraMissing, InputError

if TYPE_CHECKING:
    from ase import Atoms

_FRICTION_PER_FS = 0.01


def graphene_cell(repeats: tuple[int, int] = (5, 5), *, cell_nm: float = 0.246, height_nm: float = 1.0) -> Atoms:
    """A flat periodic sheet of graphene (`ase.Atoms`, Å) of 2 * repeats[0] * repeats[1] atoms; the paper's has (10, 10) less one atom.

    cell_nm : lattice constant
    height_nm : height of the cell, of which the sheet takes the middle; it is periodic in the plane only

    Raises `ExtraMissing` without ASE and `InputError` for a sheet without cells.
    """
    try:
        from ase.build import graphene  # noqa: PLC0415
    except ImportError as missing:
        raise ExtraMissing("ase", "structures") from missing
    if min(repeats) < 1:
        raise InputError(f"a sheet needs at least one cell along each direction, got {repeats}")
    return graphene(a=10 * cell_nm, size=(*repeats, 1), vacuum=5 * height_nm)


def molecular_dynamics(
    atoms: Atoms,
    *,
    temperature_K: float = 300.0,  # noqa: N803
    steps: int = 300,
    timestep_fs: float = 1.0,
    every: int = 30,
    seed: int = 0,
) -> list[Atoms]:
    """Snapshots of carbon atoms in thermal motion, every so many steps: Langevin dynamics in Tersoff's potential.

    The same seed gives the same motion. The atoms given stay as they are. Equilibration is part of the steps: velocities start at
    the temperature, the friction time is 100 fs. Tersoff's bonds have no range beyond 0.21 nm, so pieces that come off fly away.

    atoms : `ase.Atoms`, carbon only, Å
    every : steps from one snapshot to the next; the first is taken after as many

    Raises `ExtraMissing` without ASE, `InputError` for other elements and for numbers that make no trajectory.
    """
    try:
        from ase import units  # noqa: PLC0415
        from ase.md.langevin import Langevin  # noqa: PLC0415

        from ._tersoff import CarbonTersoff  # noqa: PLC0415
    except ImportError as missing:
        raise ExtraMissing("ase", "structures") from missing
    others = sorted(set(atoms.get_chemical_symbols()) - {"C"})
    if others:
        raise InputError(f"the built-in dynamics moves carbon only, not {', '.join(others)}; read such trajectories from a file")
    if steps < 1 or not 1 <= every <= steps or not timestep_fs > 0 or temperature_K < 0:
        raise InputError(f"no trajectory has {steps} steps of {timestep_fs} fs at {temperature_K} K with a snapshot every {every}")
    rng = np.random.default_rng(seed)
    moving = atoms.copy()
    if not len(moving):
        return [moving.copy() for _ in range(steps // every)]
    moving.calc = CarbonTersoff()
    spread = np.sqrt(moving.get_masses() * units.kB * temperature_K)
    moving.set_momenta(rng.normal(size=(len(moving), 3)) * spread[:, None])
    dynamics = Langevin(moving, timestep_fs * units.fs, temperature_K=temperature_K, friction=_FRICTION_PER_FS / units.fs, fixcm=False, rng=rng)
    snapshots = []
    for _ in range(steps // every):
        dynamics.run(every)
        snapshots.append(moving.copy())
    return snapshots


def remove_one_by_one(
    atoms: Atoms,
    *,
    last: int = 10,
    step: int = 1,
    temperature_K: float = 300.0,  # noqa: N803
    steps: int = 300,
    timestep_fs: float = 1.0,
    every: int = 30,
    seed: int = 0,
) -> Iterator[list[Atoms]]:
    """Trajectories of the sheet with ever fewer atoms, one list of snapshots a stage, as in the ELIT paper.

    Atoms go at random, `step` at a time, until `last` are left; each stage starts from where the one before ended. The paper:
    199 atoms down to 10, one by one, at each stage 2000 steps of 1 fs at 300 K.

    Raises as `molecular_dynamics` does, and `InputError` for a step below 1 or a negative `last`.
    """
    if step < 1 or last < 0:
        raise InputError(f"atoms are removed in steps of at least 1 down to at least 0, got step {step}, last {last}")
    rng = np.random.default_rng([seed, 1])
    while True:
        snapshots = molecular_dynamics(atoms, temperature_K=temperature_K, steps=steps, timestep_fs=timestep_fs, every=every, seed=int(rng.integers(2**63)))
        yield snapshots
        atoms = snapshots[-1].copy()
        going = min(step, len(atoms) - last)
        if going <= 0:
            return
        del atoms[np.sort(rng.choice(len(atoms), going, replace=False))]
