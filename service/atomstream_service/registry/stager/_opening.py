"""The checks, one method each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from atomstream_models.bundle import (
    Bundle,
    BundleError,
    Card,
    check_files,
    check_golden,
    check_has_card,
    check_member,
    copy_bundle,
    read_card,
    unlisted,
    unpack,
)

from ._progress import Finding, Step
from ._report import CheckName
from ._spec import StagerSpec

if TYPE_CHECKING:
    from ._trial import Trial

_NAMED = 5
"""Files that are named before the rest are only counted."""


class Opening:
    """A bundle that is being opened: each check builds upon what the one before has found."""

    def __init__(self, spec: StagerSpec) -> None:
        self._spec = spec
        self._limits = spec.limits.bundle
        self._card: Card
        self._bundle: Bundle
        self._trial: Trial

    def steps(self) -> Iterator[Step]:
        """All checks in order; going on to the next one takes for granted that the one before has passed."""
        yield CheckName.ARCHIVE, self._archive
        yield CheckName.CARD, self._read_card
        yield CheckName.CHECKSUM, self._checksum
        yield CheckName.IDENTITY, self._identity
        yield CheckName.MEMBER, self._member
        yield CheckName.GOLDEN, self._golden
        yield CheckName.LOAD, self._load
        yield CheckName.SHAPES, self._trial.shapes
        yield CheckName.ACCEPTANCE, self._trial.acceptance
        yield CheckName.WARM_UP, lambda: self._trial.warm_up(self._spec.warm_shapes)

    def _archive(self) -> Finding:
        given, folder = self._spec.given, self._spec.folder
        folder.mkdir(exist_ok=True)
        if given.is_dir():
            check_has_card(given)
            copy_bundle(given, folder, self._limits)
        else:
            unpack(given, folder, self._limits)
        sizes = [path.stat().st_size for path in _files(folder)]
        detail = f"{len(sizes)} files of {sum(sizes) / 1e6:.1f} MB are {'copied' if given.is_dir() else 'unpacked'}"
        return Finding(detail, {"files": len(sizes), "bytes": sum(sizes)})

    def _read_card(self) -> Finding:
        folder = self._spec.folder
        self._card, sha256 = read_card(folder, self._limits)
        card = self._card
        self._bundle = Bundle(folder, card, sha256)
        strangers = unlisted(folder, card)
        for stranger in strangers:
            (folder / stranger).unlink()
        more = f" and {len(strangers) - _NAMED} more" if len(strangers) > _NAMED else ""
        note = [f"left out, because the card does not name them: {', '.join(strangers[:_NAMED])}{more}"] if strangers else []
        return Finding(
            f"{card.name} {card.version}: {len(card.members)} members, {len(card.classes)} classes, {len(card.golden)} golden frames",
            {"members": len(card.members), "classes": len(card.classes), "golden_frames": len(card.golden), "files_left_out": len(strangers)},
            about={"name": card.name, "version": card.version, "sha256": sha256, "notes": note},
        )

    def _checksum(self) -> Finding:
        check_files(self._spec.folder, self._card, self._limits)
        return Finding(f"{len(self._card.files)} files have the checksums that the card says", {"files": len(self._card.files)})

    def _identity(self) -> Finding:
        name = f"{self._card.name}/{self._card.version}"
        there = self._spec.registered.get(name)
        if there is None:
            return Finding(f"{name} is new")
        if there != self._bundle.sha256:
            raise BundleError(
                "identity", f"{name} is taken by another bundle ({there[:12]}, this one is {self._bundle.sha256[:12]}); give this one a new version"
            )
        return Finding(f"{name} is there already, the very same", enough=True)

    def _member(self) -> Finding:
        sizes = []
        for member in self._card.members:
            path = self._bundle.member_path(member.id)
            check_member(path, self._card)
            sizes.append(path.stat().st_size)
        return Finding(f"{len(sizes)} graphs are in order", {"members": len(sizes), "largest_bytes": max(sizes)})

    def _golden(self) -> Finding:
        check_golden(self._bundle)
        return Finding(f"{len(self._card.golden)} different golden frames can be read", {"golden_frames": len(self._card.golden)})

    def _load(self) -> Finding:
        # The runtime is loaded here, so that an archive which fails before never meets it, and costs no time.
        from ._trial import Trial  # noqa: PLC0415

        self._trial = Trial(self._bundle)
        return self._trial.load(self._spec.device, self._spec.threads)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
