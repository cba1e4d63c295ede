"""Crystals under the simulated microscope: a perovskite with a growing rock-salt island, rock salt alone, molybdenum disulphide."""

from __future__ import annotations

import numpy as np

from ._defects import amorphous_patch, pierce
from ._joins import Joined, embed
from ._lattices import Placement
from ._materials import NIO_IN_LSMO_BRIGHTNESS, mos2, perovskite, rock_salt
from ._outlines import outline
from ._specimen import B_SITE, Specimen, shake, strain
from ._story import WANDER_NM, in_reach, spot

_THERMAL_NM = 0.004
_ISLAND = 0.3
"""Largest mean radius of the island, as a share of the shorter side of the field of view."""


class PerovskiteStory:
    """A perovskite (`A_SITE`, `B_SITE`) in which an island of rock salt, labelled `B_SITE`, grows with severity while the scan shears.

    field_nm : field of view (height, width)
    """

    def __init__(self, field_nm: tuple[float, float], rng: np.random.Generator) -> None:
        self._rng = rng
        self._field = field_nm
        self._host, self._guest = lsmo_and_nio(field_nm, rng)
        self._island = outline(spot(field_nm, 0.3, 0.7, rng), 0.0, rng=rng)
        self._weather = Weather(field_nm, 1 / self._host.neighbour_nm**2, rng)

    def step(self, severity: float) -> Specimen:
        """The crystal in the next frame."""
        island = self._island.grown(_ISLAND * min(self._field) * severity)
        return self._weather.step(embed(self._host, self._guest, island).specimen, severity)


class RockSaltStory:
    """A rock-salt crystal, its columns labelled `B_SITE` as they are beside a perovskite, in which severity opens a hole.

    field_nm : field of view (height, width)
    """

    def __init__(self, field_nm: tuple[float, float], rng: np.random.Generator) -> None:
        self._crystal = rock_salt(field_nm, Placement(rng.uniform(0, np.pi / 2)), kind=B_SITE, rng=rng)
        self._hole = spot(field_nm, 0.25, 0.75, rng)
        self._radius = 0.2 * min(field_nm)
        self._weather = Weather(field_nm, 1 / self._crystal.neighbour_nm**2, rng)

    def step(self, severity: float) -> Specimen:
        """The crystal in the next frame."""
        return self._weather.step(pierce(self._crystal, self._hole, self._radius * severity), severity)


class Mos2Story:
    """A monolayer of MoS2 with sulphur vacancies and vanadium, in which severity opens a hole.

    field_nm : field of view (height, width)
    """

    def __init__(self, field_nm: tuple[float, float], rng: np.random.Generator) -> None:
        self._sheet = mos2(field_nm, Placement(rng.uniform(0, np.pi / 3)), sulphur_vacancies=0.02, dopants=0.01, rng=rng)
        self._hole = spot(field_nm, 0.25, 0.75, rng)
        self._radius = 0.2 * min(field_nm)
        self._weather = Weather(field_nm, 1 / self._sheet.neighbour_nm**2, rng)

    def step(self, severity: float) -> Specimen:
        """The sheet in the next frame."""
        return self._weather.step(pierce(self._sheet, self._hole, self._radius * severity), severity)


class Weather:
    """What befalls every crystal: it wanders and shakes; severity brings contamination and a shear of the scan.

    field_nm : field of view (height, width)
    dirt_per_nm2 : density of the contamination's atoms
    """

    def __init__(self, field_nm: tuple[float, float], dirt_per_nm2: float, rng: np.random.Generator) -> None:
        self._rng = rng
        self._field = field_nm
        self._density = dirt_per_nm2
        self._dirt = spot(field_nm, 0.1, 0.9, rng)
        self._shear = float(rng.choice([-1, 1]) * rng.uniform(0.015, 0.03))
        self._wander = np.zeros(2)

    def step(self, specimen: Specimen, severity: float) -> Specimen:
        """What the scan meets of this specimen in the next frame."""
        self._wander += self._rng.normal(0, WANDER_NM, 2)
        if severity:
            specimen = amorphous_patch(specimen, self._dirt, 0.18 * min(self._field) * severity, self._density, 0.5, rng=self._rng)
        specimen = specimen.moved(specimen.positions_nm + self._wander)
        sheared = strain(specimen, np.array([[0.0, 0.0], [self._shear * severity, 0.0]]), (self._field[0] / 2, self._field[1] / 2))
        shaken = shake(sheared, _THERMAL_NM, rng=self._rng)
        return shaken.keep(in_reach(shaken, self._field))


def lsmo_and_nio(field_nm: tuple[float, float], rng: np.random.Generator) -> tuple[Specimen, Specimen]:
    """Perovskite and rock salt over the same field of view, grown nearly in register, brightness relative to the perovskite's A columns."""
    rotation = rng.uniform(0, np.pi / 2)
    host = perovskite(field_nm, Placement(rotation), rng=rng)
    tilt = rng.normal(0, 0.02)
    return host, rock_salt(field_nm, Placement(rotation + tilt), brightness=NIO_IN_LSMO_BRIGHTNESS, kind=B_SITE, rng=rng)


def lsmo_with_island(field_nm: tuple[float, float], rng: np.random.Generator) -> Joined:
    """A perovskite with one island of rock salt, as in the ELIT paper's NiO-LSMO image; the guest is the island."""
    host, guest = lsmo_and_nio(field_nm, rng)
    radius_nm = rng.uniform(0.8, 1.1) * _ISLAND * min(field_nm)
    specimen, island = embed(host, guest, outline(spot(field_nm, 0.4, 0.6, rng), radius_nm, rng=rng))
    shaken = shake(specimen, _THERMAL_NM, rng=rng)
    near = in_reach(shaken, field_nm)
    return Joined(shaken.keep(near), island[near])
