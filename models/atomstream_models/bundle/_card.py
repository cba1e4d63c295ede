"""`card.json`: what a bundle is, and how its members want their frames."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from ..errors import wrong_keys
from ..normalize import UnknownNormalization, normalizer
from ._errors import BundleError

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Names that are safe as a folder, in a URL and in a file name."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or "\\" in path or PurePosixPath(path).is_absolute() or ".." in parts:
        raise ValueError(f"{path!r} does not stay inside the bundle")
    return path


class _Part(BaseModel):
    """Keys of a later version are kept, so that a card can be written back whole."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Normalization(_Part):
    """How a frame is normalised: the function's name and its parameters."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Normalization:
        try:
            normalizer(self.name, self.parameters)
        except (UnknownNormalization, TypeError, ValueError) as error:
            raise ValueError(str(error)) from error
        return self


class MemberEntry(_Part):
    """One network of the ensemble."""

    id: Name
    file: str
    sha256: Sha256
    architecture: str = ""
    seed: int | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)

    _file = field_validator("file")(_inside)


class GoldenEntry(_Part):
    """One golden frame file."""

    file: str
    sha256: Sha256

    _file = field_validator("file")(_inside)


class Card(_Part):
    """The card of a bundle.

    classes : atom classes in channel order, background left out
    background : channel of the background, or null where there is none
    origin : whether the members were trained on simulated or experimental frames
    pixel_size_nm : range of pixel sizes that the members know, in nm; null where any will do
    threshold : foreground probability at which an atom begins
    downsample : frames are padded to multiples of this
    selection : which members somebody chose on which frames, and why; null where nobody has
    """

    schema_: Literal["atomstream.bundle.v1"] = Field(alias="schema")
    name: Name
    version: Name
    created: str
    classes: tuple[str, ...] = Field(min_length=1, max_length=64)
    background: int | None = Field(default=None, ge=0)
    origin: Literal["simulated", "experimental"]
    normalization: Normalization
    pixel_size_nm: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    threshold: float = Field(default=0.5, gt=0, lt=1)
    downsample: int = Field(default=8, ge=1, le=256)
    members: tuple[MemberEntry, ...] = Field(min_length=1, max_length=256)
    training: dict[str, Any] = Field(default_factory=dict)
    selection: dict[str, Any] | None = None
    license: str = ""
    golden: tuple[GoldenEntry, ...] = ()

    @property
    def files(self) -> tuple[MemberEntry | GoldenEntry, ...]:
        """Every file that the card names."""
        return (*self.members, *self.golden)

    @property
    def channels(self) -> int:
        """Channels of a member's output."""
        return len(self.classes) + (self.background is not None)

    @property
    def atom_channels(self) -> tuple[int, ...]:
        """Output channels of the atom classes, in the order of `classes`."""
        return tuple(k for k in range(self.channels) if k != self.background)

    @property
    def unselected(self) -> bool:
        """Whether mean and std mean nothing yet: before the members without artifacts have been picked from a simulated ensemble (Ghosh et al. 2021)."""
        return self.origin == "simulated" and self.selection is None

    @property
    def member_ids(self) -> tuple[str, ...]:
        return tuple(member.id for member in self.members)

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        if self.background is not None and self.background > len(self.classes):
            raise ValueError(f"background channel {self.background} does not exist: {len(self.classes)} classes and a background make {self.channels} channels")
        if self.pixel_size_nm is not None and self.pixel_size_nm[0] > self.pixel_size_nm[1]:
            raise ValueError(f"pixel_size_nm = {list(self.pixel_size_nm)} is not a range from low to high")
        _unique("member id", self.member_ids)
        _unique("class", self.classes)
        _unique("file", [entry.file for entry in self.files])
        return self


def _unique(what: str, values: Any) -> None:
    twice = sorted({value for value in values if list(values).count(value) > 1})
    if twice:
        raise ValueError(f"{what} {', '.join(map(repr, twice))} is there more than once")


def parse_card(data: bytes) -> Card:
    """The card in a `card.json`.

    Raises
    ------
    BundleError
        naming every key that is wrong.
    """
    try:
        return Card.model_validate_json(data)
    except ValidationError as error:
        lines = wrong_keys(error, "card")
        raise BundleError("card", "card.json: " + "; ".join(lines)) from error
