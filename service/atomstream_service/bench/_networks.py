"""The networks that are measured: a bundle's own, and untrained ones of other widths."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from atomstream_models.bundle import Bundle, read_card
from atomstream_models.errors import InputError

from ..extras import need_training


@dataclass(frozen=True)
class Network:
    """Members of one kind.

    name : as cases call it
    bundle : its members; an untrained one has no golden frames
    filters : width of an untrained network's first level; None for members as they are
    """

    name: str
    bundle: Bundle
    filters: int | None = None

    @property
    def member(self) -> Path:
        """The file of one of its members."""
        return self.bundle.member_path(self.bundle.card.member_ids[0])


def in_turns(bundle: Bundle, count: int) -> Bundle:
    """A bundle with so many members; where it has fewer, its own take turns under other ids.

    No file is copied: each session that is opened has its own copy of the weights anyway.
    """
    own = bundle.card.members
    if count <= len(own):
        members = own[:count]
    else:
        members = tuple(own[k % len(own)].model_copy(update={"id": f"turn{k:02d}"}) for k in range(count))
    return Bundle(bundle.folder, bundle.card.model_copy(update={"members": members}), bundle.sha256)


def own(bundle: Bundle) -> Network:
    """A bundle's members as they are."""
    return Network(f"{bundle.card.name} {bundle.card.version}", bundle)


def untrained(kind: str, filters: int, like: Bundle, folder: Path) -> Network:
    """A network with weights drawn at random, exported as training does it, in a process of its own because the service never imports torch.

    kind : as recipes name it, such as `half-unet` or `unet depth=4`
    like : whose classes, normalisation and pixel sizes it has
    folder : a new folder to write it into

    Raises
    ------
    ExtraMissing
        where torch is not installed.
    InputError
        for a network that there is not.
    """
    need_training()
    name = f"{kind} filters={filters}"
    command = [sys.executable, "-m", "atomstream_models.training", "untrained", name, "--like", str(like.folder), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise InputError(said[-1].removeprefix("atomstream: ") if said else f"{name} could not be written: exit code {done.returncode}")
    return Network(name, Bundle(folder, read_card(folder)[0], sha256=""), filters)
