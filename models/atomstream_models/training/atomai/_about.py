"""What the user says of networks that do not say it themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from ...errors import InputError

Background = Literal["last", "none"]
"""Which output channel is the background: the last one, or none of them."""


Origin = Literal["simulated", "experimental"]
"""On what the networks were trained."""


@dataclass(frozen=True)
class About:
    """What files of networks do not say of them, with the names and meanings of the card's keys."""

    name: str
    version: str
    classes: tuple[str, ...]
    pixel_size_nm: tuple[float, float] | None
    normalization: str
    origin: Origin
    license: str

    def card(self, channels: int, *, background: Background, downsample: int, threshold: float, training: Mapping[str, Any]) -> dict[str, Any]:
        """The card's keys for networks of so many output channels.

        Raises
        ------
        InputError
            where the classes and the background don't make that many channels.
        """
        wanted = channels - (background == "last")
        if wanted < 1 or len(self.classes) != wanted:
            last = ", the last of them the background" if background == "last" else ""
            raise InputError(f"{channels} output channels{last}: that takes the names of {wanted} classes, --classes gives {', '.join(self.classes) or 'none'}")
        return {
            "name": self.name,
            "version": self.version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "classes": list(self.classes),
            "background": channels - 1 if background == "last" else None,
            "origin": self.origin,
            "normalization": {"name": self.normalization, "parameters": {}},
            "pixel_size_nm": None if self.pixel_size_nm is None else list(self.pixel_size_nm),
            "threshold": threshold,
            "downsample": downsample,
            "training": {**training, "code": f"atomstream {version('atomstream')}", "parent": None},
            "license": self.license,
        }


def sources_of(files: Sequence[Path], framework: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The card's note on where the members come from: names and checksums of the files, and what is known of each member."""
    sums = []
    for path in files:
        with path.open("rb") as file:
            sums.append(hashlib.file_digest(file, "sha256").hexdigest())
    return {"imported_from": [path.name for path in files], "sha256": sums, "framework": framework, "settings": dict(settings)}


def member_id(number: int) -> str:
    return f"m{number:02d}"
