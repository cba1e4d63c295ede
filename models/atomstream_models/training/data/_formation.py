"""How the images of a scene come about: as sums of Gaussians, or by multislice."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ...errors import ExtraMissing, InputError
from ...simulation import A_SITE, B_SITE, HOST, IMPURITY, UNLABELLED, Column

FormationName = Literal["gaussian", "multislice"]


class ColumnSettings(BaseModel):
    """The atoms on top of each other in one column.

    elements : chemical symbols, which take turns from where the beam enters
    spacing_nm : from one atom to the next
    thickness_nm : of the column; 0 for one atom alone
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    elements: tuple[str, ...] = Field(min_length=1)
    spacing_nm: float = Field(default=0.2, gt=0)
    thickness_nm: float = Field(default=0.0, ge=0)


def _single(element: str) -> ColumnSettings:
    return ColumnSettings(elements=(element,))


_THIN = {UNLABELLED: _single("C"), HOST: _single("C"), IMPURITY: _single("Si")}
_OXIDE_NM = 4.0
_OXIDE = {
    UNLABELLED: ColumnSettings(elements=("O",), spacing_nm=0.39, thickness_nm=_OXIDE_NM),
    A_SITE: ColumnSettings(elements=("La",), spacing_nm=0.39, thickness_nm=_OXIDE_NM),
    B_SITE: ColumnSettings(elements=("Mn", "O"), spacing_nm=0.195, thickness_nm=_OXIDE_NM),
}
_KNOWN = {
    "perovskite": _OXIDE,
    "rock-salt": {**_OXIDE, B_SITE: ColumnSettings(elements=("Ni", "O"), spacing_nm=0.21, thickness_nm=_OXIDE_NM)},
    "mos2": {**_THIN, 0: _single("Mo"), 1: ColumnSettings(elements=("S",), spacing_nm=0.313, thickness_nm=0.63)},
}


def columns(material: str, elements: Mapping[str, int], given: Mapping[int, ColumnSettings]) -> dict[int, Column]:
    """What multislice takes for the columns of each kind of atom in a scene.

    elements : those of a scene of structures; the first one of a class stands for it
    given : what the recipe says, which wins

    Raises
    ------
    ExtraMissing
        where abTEM or ASE is not installed.
    InputError
        for a symbol that is no element's.
    """
    try:
        from ase.data import atomic_numbers  # noqa: PLC0415
    except ImportError as missing:
        raise ExtraMissing("ase", "multislice") from missing
    if find_spec("abtem") is None:
        raise ExtraMissing("abtem", "multislice")
    first = {kind: _single(symbol) for symbol, kind in reversed(list(elements.items()))}
    settings = {**_KNOWN.get(material, _THIN), **first, **given}
    strangers = [symbol for one in settings.values() for symbol in one.elements if symbol not in atomic_numbers]
    if strangers:
        raise InputError(f"multislice columns of {', '.join(map(repr, strangers))}: that is no chemical element")
    return {kind: Column.stacked(tuple(atomic_numbers[symbol] for symbol in one.elements), one.spacing_nm, one.thickness_nm) for kind, one in settings.items()}
