"""Random specimens under random imaging, as a recipe's scenes describe them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...simulation import (
    B_SITE,
    Beam,
    ImageFormation,
    Imaging,
    Multislice,
    Placement,
    Projection,
    Specimen,
    amorphous_patch,
    embed,
    expose,
    grain_boundary,
    graphene,
    mos2,
    outline,
    perovskite,
    pierce,
    read_structures,
    rock_salt,
    shake,
    specimens_of,
    square_lattice,
    strain,
    substitute,
)
from ..augment import PositiveRange, Range
from ._formation import ColumnSettings, FormationName, columns

Material = Literal["graphene", "grain-boundary", "square", "perovskite", "rock-salt", "perovskite-island", "mos2", "structures"]


class Scene(BaseModel):
    """One kind of specimen and how it is seen. Ranges are drawn from evenly unless they say log-uniform; chances are shares of the images.

    material : graphene, two grains of it, a square lattice of one kind of column, a perovskite (classes A, B), rock salt (class B), a perovskite with
        an island of rock salt, a monolayer of MoS2 (Mo, S), or the structures of a file
    weight : how often, against the other scenes
    pixel_size_nm : log-uniform
    spacing_nm : of the square lattice; the lattice constant of perovskite, and of rock salt halved
    b_brightness : of a perovskite's B columns, rock salt or sulphur pairs, against A columns or molybdenum
    structures : file that ASE reads
    elements : its chemical symbols -> class index, -1 for those that are not to be found
    thermal : standard deviation of each atom's displacement, in nearest-neighbour distances; one of these
    strain : standard deviation of stretch and shear, as from sample drift during a slow scan
    vacancies_chance, vacancies : share of atoms taken out at random
    impurities_chance, impurities_mean : heavy impurities, single or in clusters of up to four, 1 + Poisson(mean) places
    impurity_brightness : against a host atom, log-uniform
    hole_chance, hole : radius in shares of the image's side
    amorphous_chance, amorphous : radius of a patch of disordered matter in shares of the image's side
    probe : standard deviation of an atom's spot in nearest-neighbour distances
    astigmatism : how much wider or narrower along one axis
    line_jitter_px : standard deviation of scan lines' sideways shifts; one of these
    background, background_swing : mean and slow variation, 1 = peak of a host atom; the swing is one of these
    formation : `gaussian` sums a spot for each atom; `multislice` scatters waves through abTEM, which takes the extra of that name and
        half a minute for each square nanometre of a monolayer. There neither `probe` and `astigmatism` nor any brightness counts, but
        `beam` and `columns` do; not for the island, whose columns are of the perovskite's classes
    beam : probe and detector of `multislice`, see `simulation.Beam`
    columns : class index -> what its columns hold for `multislice`, -1 for matter that is not to be found; those left out follow from the
        material (LaMnO3 and NiO of 4 nm for perovskite and rock salt, else single atoms: carbon, silicon as impurity, `elements`)
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    material: Material = "graphene"
    weight: float = Field(default=1.0, gt=0)
    pixel_size_nm: PositiveRange = (0.0075, 0.016)
    spacing_nm: PositiveRange = (0.15, 0.4)
    b_brightness: Range = (0.3, 0.8)
    structures: str | None = None
    elements: dict[str, Annotated[int, Field(ge=-1)]] = Field(default_factory=dict)
    thermal: tuple[float, ...] = Field(default=(0.0, 0.01, 0.03, 0.06), min_length=1)
    strain: float = Field(default=0.02, ge=0)
    vacancies_chance: float = Field(default=0.3, ge=0, le=1)
    vacancies: Range = (0.0, 0.25)
    impurities_chance: float = Field(default=0.75, ge=0, le=1)
    impurities_mean: float = Field(default=1.5, ge=0)
    impurity_brightness: PositiveRange = (2.0, 9.0)
    hole_chance: float = Field(default=0.25, ge=0, le=1)
    hole: Range = (0.1, 0.6)
    amorphous_chance: float = Field(default=0.3, ge=0, le=1)
    amorphous: Range = (0.1, 0.5)
    probe: PositiveRange = (0.18, 0.46)
    astigmatism: float = Field(default=0.15, ge=0, lt=1)
    line_jitter_px: tuple[float, ...] = Field(default=(0.0, 0.3, 0.6, 1.2), min_length=1)
    background: Range = (0.0, 3.0)
    background_swing: tuple[float, ...] = Field(default=(0.0, 0.1, 0.3, 1.0), min_length=1)
    formation: FormationName = "gaussian"
    beam: Beam = Beam()
    columns: dict[int, ColumnSettings] = Field(default_factory=dict)

    def image_formation(self) -> ImageFormation:
        """What makes the images.

        Raises
        ------
        ExtraMissing
            for multislice where abTEM is not installed.
        InputError
            for a column of something that is no element.
        """
        if self.formation == "gaussian":
            return expose
        return Multislice(self.beam, columns(self.material, self.elements, self.columns))

    def draw_specimen(self, side: int, rng: np.random.Generator) -> tuple[Specimen, float]:
        """A random specimen and the pixel size in nm at which it fills an image of `side` pixels."""
        pixel_nm = _log_uniform(self.pixel_size_nm, rng)
        field = (side * pixel_nm, side * pixel_nm)
        specimen = self._perfect(field, rng)
        specimen = strain(specimen, rng.normal(0, self.strain, (2, 2)), (field[0] / 2, field[1] / 2))
        specimen = shake(specimen, float(rng.choice(self.thermal)) * specimen.neighbour_nm, rng=rng)
        if rng.random() < self.vacancies_chance:
            specimen = specimen.keep(rng.random(len(specimen.kind)) > rng.uniform(*self.vacancies))
        if rng.random() < self.impurities_chance:
            for centre in rng.uniform(0, 1, (1 + rng.poisson(self.impurities_mean), 2)) * field:
                cluster = int(rng.choice([1, 1, 1, 2, 3, 4]))
                specimen = substitute(specimen, centre[None], _log_uniform(self.impurity_brightness, rng), cluster=cluster, rng=rng)
        if rng.random() < self.hole_chance:
            specimen = pierce(specimen, tuple(rng.uniform(0, 1, 2) * field), rng.uniform(*self.hole) * field[0])
        if rng.random() < self.amorphous_chance:
            density = rng.uniform(0.5, 3) / specimen.neighbour_nm**2
            centre = tuple(rng.uniform(-0.2, 1.2, 2) * field)
            specimen = amorphous_patch(specimen, centre, rng.uniform(*self.amorphous) * field[0], density, rng.uniform(0.3, 2.0), rng=rng)
        return specimen, pixel_nm

    def draw_imaging(self, specimen: Specimen, pixel_nm: float, side: int, rng: np.random.Generator) -> Imaging:
        """Random imaging of a specimen."""
        width = specimen.neighbour_nm * rng.uniform(*self.probe)
        return Imaging(
            pixel_nm=pixel_nm,
            shape=(side, side),
            probe_nm=(width * rng.uniform(1 - self.astigmatism, 1 + self.astigmatism), width * rng.uniform(1 - self.astigmatism, 1 + self.astigmatism)),
            line_jitter_px=float(rng.choice(self.line_jitter_px)),
            background=float(rng.uniform(*self.background)),
            background_swing=float(rng.choice(self.background_swing)),
        )

    def _perfect(self, field: tuple[float, float], rng: np.random.Generator) -> Specimen:
        rotation = rng.uniform(0, 2 * np.pi)
        place, spacing, brightness = Placement(rotation), rng.uniform(*self.spacing_nm), rng.uniform(*self.b_brightness)
        match self.material:
            case "graphene":
                return graphene(field, rotation, rng=rng)
            case "grain-boundary":
                return grain_boundary(field, (rotation, rng.uniform(0, 2 * np.pi)), rng=rng)
            case "square":
                return square_lattice(field, spacing, rotation, rng=rng)
            case "rock-salt":
                return rock_salt(field, place, cell_nm=spacing, kind=B_SITE, rng=rng)
            case "mos2":
                vacancies, dopants = rng.uniform(0, 0.1), rng.uniform(0, 0.05)
                return mos2(field, place, s2_brightness=brightness, sulphur_vacancies=vacancies, dopants=dopants, rng=rng)
            case "structures":
                return self._structure(field, rotation, rng)
        oxygen = float(rng.choice([0.0, 0.0, 0.02, 0.06]))
        polar = tuple(rng.normal(0, 0.02, 2) * spacing)
        host = perovskite(
            field,
            place,
            cell_nm=spacing,
            b_brightness=brightness,
            oxygen_brightness=oxygen,
            tetragonality=rng.uniform(0.96, 1.04),
            polar_shift_nm=polar,
            rng=rng,
        )
        if self.material == "perovskite":
            return host
        turned = Placement(rotation + rng.normal(0, 0.05))
        guest = rock_salt(field, turned, cell_nm=spacing * rng.uniform(1.0, 1.15), brightness=rng.uniform(*self.b_brightness), kind=B_SITE, rng=rng)
        centre = tuple(rng.uniform(-0.1, 1.1, 2) * field)
        return embed(host, guest, outline(centre, rng.uniform(0.15, 0.6) * field[0], rng=rng)).specimen

    def _structure(self, field: tuple[float, float], rotation: float, rng: np.random.Generator) -> Specimen:
        found = _structures(str(self.structures))
        one = found[int(rng.integers(len(found)))]
        shift = tuple(rng.uniform(-0.5, 0.5, 2))
        return specimens_of([one], Projection(field_nm=field, classes=self.elements, rotation_rad=rotation, offset_nm=shift))[0]

    @model_validator(mode="after")
    def _has_columns_of_one_content(self) -> Scene:
        if self.formation == "multislice" and self.material == "perovskite-island":
            raise ValueError("formation 'multislice' can't tell the columns of material 'perovskite-island' apart, which share their classes")
        return self

    @model_validator(mode="after")
    def _says_which_structures(self) -> Scene:
        if (self.material == "structures") != (self.structures is not None) or (self.structures is not None) != bool(self.elements):
            raise ValueError("material 'structures' goes with a file in `structures` and the classes of its `elements`, and these with it")
        if self.structures is not None and not Path(self.structures).is_file():
            raise ValueError(f"there is no file {self.structures}")
        return self


@lru_cache(maxsize=4)
def _structures(path: str) -> list[Any]:
    return read_structures(path)


def _log_uniform(bounds: Range, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))
