"""A recipe: everything that decides what an ensemble becomes, read from TOML and kept in the bundle's card."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from ..bundle import Normalization
from ..errors import InputError, wrong_keys
from ._settings import TrainingSettings
from .augment import AtomAIAugmentation, Augmentation
from .data import DataSettings
from .networks import NetworkSettings

RECIPES = Path(__file__).parent / "recipes"
"""The recipes that come with Atomstream."""

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Recipe(BaseModel):
    """How an ensemble is made.

    name, version : of the bundle
    classes : atom classes in channel order; with more than one a background channel follows
    pixel_size_nm : range of pixel sizes that the members will know, null where the images have none
    data : where training images come from
    networks : architectures, which the members take in turn
    half : whether the exported members compute in half precision, which halves their size and suits GPUs
    threshold : foreground probability at which an atom begins; by default the best one on the validation images
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Name
    version: _Name = "1"
    license: str = "MIT"
    classes: tuple[str, ...] = Field(min_length=1)
    pixel_size_nm: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    normalization: Normalization = Normalization(name="robust")
    data: DataSettings
    augmentation: Annotated[Augmentation | AtomAIAugmentation, Field(discriminator="kind")] = Augmentation()
    networks: tuple[NetworkSettings, ...] = Field(default=(NetworkSettings(),), min_length=1)
    training: TrainingSettings = TrainingSettings()
    half: bool = False
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None

    @property
    def channels(self) -> int:
        """Output channels of a member."""
        return 1 if len(self.classes) == 1 else len(self.classes) + 1

    @property
    def background(self) -> int | None:
        """The background's channel, None with a single class."""
        return None if len(self.classes) == 1 else len(self.classes)

    def network(self, member: int) -> NetworkSettings:
        """The architecture of a member."""
        return self.networks[member % len(self.networks)]

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        weights = self.training.class_weights
        if weights is not None and len(weights) != self.channels:
            raise ValueError(f"training.class_weights has {len(weights)} values, the network has {self.channels} channels")
        if self.training.strategy != "scratch" and len(self.networks) > 1:
            raise ValueError(f"strategy {self.training.strategy!r} starts all members from one network, {len(self.networks)} architectures are given")
        return self


def load_recipe(name_or_path: str, changes: Sequence[str] = ()) -> Recipe:
    """The recipe of that name, or in that TOML file, with changes of the form `training.steps=300`.

    Raises
    ------
    InputError
        naming the file and every key that is wrong.
    """
    path = _find(name_or_path)
    try:
        tree: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"recipe {path} can't be read: {error}") from error
    for change in changes:
        _apply(tree, change)
    return parse_recipe(tree, str(path))


def parse_recipe(tree: dict[str, Any], where: str) -> Recipe:
    """The recipe in a tree of plain values; `where` is what an error calls it.

    Raises
    ------
    InputError
        naming every key that is wrong.
    """
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        lines = wrong_keys(error, "recipe")
        raise InputError(f"recipe {where}: " + "; ".join(lines)) from error


def _find(name_or_path: str) -> Path:
    shipped = RECIPES / f"{name_or_path}.toml"
    if shipped.is_file():
        return shipped
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    names = ", ".join(sorted(path.stem for path in RECIPES.glob("*.toml")))
    raise InputError(f"{name_or_path!r} is neither a recipe ({names}) nor a file")


def _apply(tree: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals:
        raise InputError(f"{change!r} is not of the form key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.strip().split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise InputError(f"{key!r} does not name a setting: {parent!r} holds no others")
    tree[last] = value
