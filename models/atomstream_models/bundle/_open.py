"""Opening a bundle: every check that needs no inference."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ._archive import LIMITS, Limits
from ._card import Card, parse_card
from ._errors import BundleError
from ._golden import GoldenFrame, load_golden
from ._member import check_member


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose card, checksums and members have been checked.

    sha256 : checksum of `card.json`, which holds those of all other files
    """

    folder: Path
    card: Card
    sha256: str

    def member_path(self, member_id: str) -> Path:
        """Where a member's ONNX file lies; KeyError for an id that the card does not have."""
        return self.folder / {member.id: member.file for member in self.card.members}[member_id]

    def golden(self) -> list[GoldenFrame]:
        """The golden frames."""
        return [load_golden(self.folder / entry.file) for entry in self.card.golden]


def open_bundle(folder: Path, limits: Limits = LIMITS) -> Bundle:
    """The bundle in a folder.

    Raises
    ------
    BundleError
        naming the check that failed: `card`, `checksum`, `member` or `golden`.
    """
    card, sha256 = read_card(folder, limits)
    check_files(folder, card, limits)
    for member in card.members:
        check_member(folder / member.file, card)
    bundle = Bundle(folder, card, sha256)
    check_golden(bundle)
    return bundle


def read_card(folder: Path, limits: Limits = LIMITS) -> tuple[Card, str]:
    """The card of the bundle in a folder, and the checksum of `card.json`.

    Raises
    ------
    BundleError
        of the check `card`.
    """
    check_has_card(folder)
    path = folder / "card.json"
    if path.stat().st_size > limits.card_bytes:
        raise BundleError("card", f"card.json has {path.stat().st_size} bytes, more than the {limits.card_bytes} allowed")
    data = path.read_bytes()
    return parse_card(data), hashlib.sha256(data).hexdigest()


def check_files(folder: Path, card: Card, limits: Limits = LIMITS) -> None:
    """Check that every file that the card names is there and has its checksum.

    Raises
    ------
    BundleError
        of the check `checksum`, naming the file.
    """
    for entry in card.files:
        _check_file(folder, entry.file, entry.sha256, limits)


def unlisted(folder: Path, card: Card) -> list[str]:
    """Files in a bundle's folder that the card does not name, so that no checksum vouches for them."""
    known = {"card.json", *(PurePosixPath(entry.file).as_posix() for entry in card.files)}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}
    return sorted(found - known)


def is_bundle(folder: Path) -> bool:
    """Whether a folder has a card, whatever the card and the rest are worth."""
    return (folder / "card.json").is_file()


def check_has_card(folder: Path) -> None:
    """Refuse a folder that is no bundle, and name the bundle where it is the folder of the training that made one.

    Raises
    ------
    BundleError
        of the check `card`.
    """
    if not is_bundle(folder):
        inner = folder / "bundle"
        meant = f"; did you mean {inner}?" if is_bundle(inner) else ""
        raise BundleError("card", f"{folder} has no card.json, so it is not a bundle{meant}")


def _check_file(folder: Path, name: str, sha256: str, limits: Limits) -> None:
    path = folder / name
    if not path.is_file() or path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError("checksum", f"{name}, which the card names, is not in the bundle")
    if path.stat().st_size > limits.file_bytes:
        raise BundleError("checksum", f"{name} has {path.stat().st_size} bytes, more than the {limits.file_bytes} allowed")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise BundleError("checksum", f"{name}: sha256 is {found}, the card says {sha256}")


def check_golden(bundle: Bundle) -> None:
    """Check that the golden frames can be read and can tell a network that works from one that is stuck, without running any.

    Raises
    ------
    BundleError
        of the check `golden`.
    """
    frames = bundle.golden()
    if len(frames) < 2:
        raise BundleError("golden", f"the bundle has {len(frames)} golden frames, two or more are needed to accept it")
    for golden in frames:
        if golden.mean.shape[0] != len(bundle.card.classes):
            raise BundleError("golden", f"a golden frame has {golden.mean.shape[0]} classes, the card {len(bundle.card.classes)}")
    for k, golden in enumerate(frames):
        if any(golden.frame.shape == other.frame.shape and (golden.frame == other.frame).all() for other in frames[:k]):
            raise BundleError("golden", "two golden frames are the same; they must differ, so that a stuck network is seen")
