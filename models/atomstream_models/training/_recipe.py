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
from .data import DataSettings, SimulatedData, check_classes
from .networks import NetworkSettings

RECIPES = Path(__file__).parent / "recipes"
"""The recipes that come with Atomstream."""

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Recipe(BaseModel):
    """How an ensemble is made.

    name, version : of the bundle
    license : of the weights; empty where nobody said
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
    license: str = ""
    classes: tuple[str, ...] = Field(min_length=1, max_length=64)
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
    def _can_become_a_bundle(self) -> Recipe:
        if self.pixel_size_nm is not None and not self.pixel_size_nm[0] <= self.pixel_size_nm[1] < float("inf"):
            raise ValueError(f"pixel_size_nm = {list(self.pixel_size_nm)} is not a range from low to high")
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if twice:
            raise ValueError(f"class {', '.join(map(repr, twice))} is named more than once")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        weights = self.training.class_weights
        if weights is not None and len(weights) != self.channels:
            raise ValueError(f"training.class_weights has {len(weights)} values, the network has {self.channels} channels")
        if self.training.strategy != "scratch" and len(self.networks) > 1:
            raise ValueError(f"strategy {self.training.strategy!r} starts all members from one network, {len(self.networks)} architectures are given")
        if isinstance(self.data, SimulatedData):
            check_classes(self.data, len(self.classes))
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
    _find_structures(tree, path.parent)
    try:
        return parse_recipe(tree, str(path))
    except InputError as error:
        blamed = [change for change in changes if f" {change.partition('=')[0].strip()}: " in str(error)]
        if not blamed:
            raise
        raise InputError(f"{error} (from --set {', '.join(blamed)})") from error


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


def _find_structures(tree: dict[str, Any], folder: Path) -> None:
    """Files of structures are named as seen from the recipe's folder, or else from where one is."""
    data = tree.get("data")
    scenes = data.get("scenes") if isinstance(data, dict) else None
    for scene in scenes if isinstance(scenes, list) else ():
        if isinstance(scene, dict) and isinstance(scene.get("structures"), str) and (folder / scene["structures"]).is_file():
            scene["structures"] = str(folder / scene["structures"])


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
