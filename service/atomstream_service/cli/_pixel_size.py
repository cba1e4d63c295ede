"""The pixel size of a file's frames."""

from __future__ import annotations

import sys
from pathlib import Path

from atomstream_models.bundle import Card
from atomstream_models.errors import InputError


def check_size(given_nm: float | None, flag: str) -> None:
    """Refuse a size that is none.

    Raises
    ------
    InputError
        naming the flag.
    """
    if given_nm is not None and not 0 < given_nm < float("inf"):
        raise InputError(f"{flag} {given_nm:g} is not above 0")


def note_unknown(file: Path, pixel_nm: float | None, card: Card) -> None:
    """Say on stderr that nobody told the pixel size, where the ensemble would have made use of it."""
    if pixel_nm is None and card.pixel_size_nm is not None:
        low, high = card.pixel_size_nm
        print(
            f"{file} does not tell its pixel size: frames are taken as they are; give --pixel-size-nm (the ensemble knows {low:g} to {high:g} nm)",
            file=sys.stderr,
        )
