"""Writing a bundle's folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._card import Card, parse_card
from ._golden import GoldenFrame, save_golden


@dataclass(frozen=True)
class MemberSource:
    """A member to be put into a bundle."""

    id: str
    onnx: Path
    architecture: str = ""
    seed: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)


def write_bundle(folder: Path, about: Mapping[str, Any], members: Sequence[MemberSource], golden: Sequence[GoldenFrame] = ()) -> Card:
    """Write card, members and golden frames into the new or empty folder `folder`; returns the card.

    about : the card's keys, those of files left out (they are filled in here)

    Raises
    ------
    BundleError
        where the card would not be valid.
    """
    (folder / "members").mkdir(parents=True, exist_ok=True)
    entries = []
    for member in members:
        name = f"members/{member.id}.onnx"
        shutil.copyfile(member.onnx, folder / name)
        entries.append(
            {
                "id": member.id,
                "file": name,
                "sha256": _digest(folder / name),
                "architecture": member.architecture,
                "seed": member.seed,
                "metrics": dict(member.metrics),
            }
        )
    frames = []
    for k, one in enumerate(golden):
        (folder / "golden").mkdir(exist_ok=True)
        name = f"golden/{k:02d}.npz"
        save_golden(folder / name, one)
        frames.append({"file": name, "sha256": _digest(folder / name)})
    card = {"schema": "atomstream.bundle.v1", **about, "members": entries, "golden": frames}
    data = (json.dumps(card, indent=2) + "\n").encode()
    parsed = parse_card(data)
    (folder / "card.json").write_bytes(data)
    return parsed


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
