"""What a run's folder holds, so that another run is never mistaken for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..bundle import is_bundle
from ..errors import InputError
from ._files import write_whole
from .data import TrainingSet

_SAYS = {
    "recipe": "a run of another recipe",
    "images": "a run on other images",
    "weights": "a run that starts from other weights",
    "about": "a run with another history",
}
"""What a folder holds where a part of its claim is another one's."""


def claim(file: Path, **parts: Any) -> None:
    """Write down parts of what a run is, or see that they were written down so before.

    file : JSON, made where it is missing
    parts : some of `recipe`, `images` (hash), `weights` (hash), `about`, as JSON knows them

    Raises
    ------
    InputError
        where the folder holds another run, saying in what it differs; or where it is a bundle or a file.
    """
    folder = file.parent
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a run needs a folder")
    if is_bundle(folder):
        raise InputError(f"{folder} is a bundle; choose another folder")
    held = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    wanted = json.loads(json.dumps(parts))
    for name, part in wanted.items():
        if name in held and held[name] != part:
            where = _differences(held[name], part)
            differ = f" ({', '.join(where)} differ)" if any(where) else ""
            raise InputError(f"{folder} holds {_SAYS[name]}{differ}; choose another folder")
    if any(name not in held for name in wanted):
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**held, **wanted}, indent=2) + "\n"
        write_whole(file, lambda path: path.write_text(text, encoding="utf-8"))


def claimed(file: Path, name: str) -> Any:
    """A part of what was written down; None where it was not."""
    held: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return held.get(name)


def images_hash(data: TrainingSet) -> str:
    """SHA-256 of a training set: its arrays with their shapes and types."""
    found = hashlib.sha256(str(data.classes).encode())
    for array in (data.images, data.atoms_yx, data.kinds, data.radius_px, data.pixel_nm, data.masks, data.hidden):
        if array is not None:
            found.update(f"{array.dtype.str}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _differences(one: Any, other: Any, where: str = "") -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [found for key in keys for found in _differences(one.get(key), other.get(key), f"{where}.{key}" if where else str(key))]
    return [] if one == other else [where]
