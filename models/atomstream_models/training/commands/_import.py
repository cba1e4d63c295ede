"""`atomstream import`: networks that others trained, as a bundle."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import track

from ...bundle import Card
from ...errors import InputError
from ...movies import read_movie
from ..atomai import import_checkpoints, import_onnx, model_files

if TYPE_CHECKING:
    from ._types import Commands

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "import",
        help="make a bundle of AtomAI's checkpoints, or of ONNX models",
        description="Make a bundle of AtomAI's checkpoints (single models, ensembles, folders of them, bare state dicts) or of ONNX models. "
        "Nothing in a checkpoint is run.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="checkpoints or folders of them, or ONNX files; all become members of one ensemble")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR|FILE.atomstream", help="a new folder, or a new file")
    parser.add_argument("--classes", metavar="C[,Si]", help="names of the atom classes in channel order, background left out")
    parser.add_argument("--pixel-size-nm", nargs="+", metavar=("LOW", "HIGH"), help="pixel sizes in nm that the networks know, or the word unknown")
    parser.add_argument("--name", help="name of the bundle (that of the first file)")
    parser.add_argument("--version", default="1", help="version of the bundle (1)")
    parser.add_argument("--normalization", choices=("minmax", "robust", "none"), help="how frames are normalised (minmax for AtomAI)")
    parser.add_argument("--threshold", type=float, metavar="P", help="probability at which an atom begins (what the files say, or 0.5)")
    parser.add_argument("--background", choices=("last", "none"), help="which channel is the background (of more than one, AtomAI's last)")
    parser.add_argument("--origin", choices=("simulated", "experimental"), default="simulated", help="what the networks were trained on (simulated)")
    parser.add_argument("--license", default="", help="licence of the weights")
    parser.add_argument("--golden", type=Path, metavar="FILE", help="a .npy, .npz or TIFF file whose first two frames the bundle is accepted with")
    parser.add_argument("--activation", choices=("sigmoid", "softmax", "none"), default="none", help="ONNX: what makes probabilities of the answers (none)")
    parser.add_argument("--downsample", type=int, default=8, metavar="N", help="ONNX: rows and columns must be multiples of this (8)")
    parser.add_argument("--json", action="store_true", help="print the card for programs")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    files = model_files(given.files)
    onnx = [file.suffix == ".onnx" for file in files]
    if any(onnx) != all(onnx):
        raise InputError(f"{files[onnx.index(True)].name} is an ONNX model and {files[onnx.index(False)].name} is not; import them apart")
    about = _about(given, all(onnx))
    if all(onnx):
        card = import_onnx(files, given.out, activation=given.activation, downsample=given.downsample, **about)
    else:
        bar = partial(track, description="exporting", disable=given.json)
        card = import_checkpoints(files, given.out, progress=bar, **about)
    print(card.model_dump_json(indent=2, by_alias=True) if given.json else _told(given.out, card))
    return 0


def _about(given: argparse.Namespace, onnx: bool) -> dict[str, Any]:
    """What the flags say of the networks.

    Raises
    ------
    InputError
        naming every flag that is missing.
    """
    wanted = {
        "--classes C[,Si]": (given.classes, "names of the atom classes"),
        "--pixel-size-nm LOW HIGH, or unknown": (given.pixel_size_nm, "pixel sizes that the networks know"),
        "--normalization minmax|robust|none": (given.normalization or (None if onnx else "minmax"), "how the networks want their frames"),
    }
    missing = [f"{flag} ({what})" for flag, (value, what) in wanted.items() if value is None]
    if missing:
        raise InputError(f"the files do not say everything; give {' and '.join(missing)}")
    return {
        "name": given.name or _name(given.files[0]),
        "version": given.version,
        "classes": [word.strip() for word in given.classes.split(",") if word.strip()],
        "pixel_size_nm": _pixel_sizes(given.pixel_size_nm),
        "normalization": given.normalization or "minmax",
        "threshold": given.threshold,
        "background": given.background,
        "origin": given.origin,
        "license": given.license,
        "golden": () if given.golden is None else list(read_movie(given.golden)[0][:2]),
    }


def _pixel_sizes(words: Sequence[str]) -> tuple[float, float] | None:
    if list(words) == ["unknown"]:
        return None
    if len(words) > 2:
        raise InputError(f"--pixel-size-nm takes two numbers, LOW and HIGH, or the word unknown, not {' '.join(words)}")
    try:
        low, high = (float(word) for word in (words[0], words[-1]))
    except ValueError as error:
        raise InputError(f"--pixel-size-nm takes two numbers, LOW and HIGH, or the word unknown, not {' '.join(words)}") from error
    if not 0 < low <= high < float("inf"):
        raise InputError(f"--pixel-size-nm {low:g} {high:g} is not a range of pixel sizes from low to high")
    return low, high


def _name(file: Path) -> str:
    """The file's name as a bundle's, cut to what a bundle may be called."""
    return _NOT_IN_A_NAME.sub("-", file.stem).lstrip("._-")[:64] or "imported"


def _told(out: Path, card: Card) -> str:
    sizes = "pixel size unknown" if card.pixel_size_nm is None else f"{card.pixel_size_nm[0]:g} to {card.pixel_size_nm[1]:g} nm"
    members = [f"  {member.id}  {member.architecture}" for member in card.members]
    return "\n".join([f"{out}: {len(card.members)} members, classes {', '.join(card.classes)}, {sizes}, threshold {card.threshold:g}", *members])
