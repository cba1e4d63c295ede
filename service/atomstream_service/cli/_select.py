from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from atomstream_models.analysis import FrameRefused, MemberFailed, prepare
from atomstream_models.bundle import Bundle, find_bundle, open_bundle, pack
from atomstream_models.errors import InputError
from atomstream_models.movies import frame_numbers, read_movie
from atomstream_models.runtime import LoadedEnsemble, load_ensemble, look
from atomstream_models.selection import WEIGHTS, MemberScores, choose, gallery, rank, score_members, subset_bundle

from ._commands import Commands

_SCORED = 9
"""Frames that are scored unless they are named, evenly spread."""
_SHOWN = 4
_POOR = 0.3
"""Members that find a lattice fairly stay below this even on frames of great noise."""
_SUFFIX = ".atomstream"


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "select",
        help="choose the members of an ensemble that are free of artifacts",
        description="Score every member on frames without labels, show them side by side, and write a bundle of the chosen ones.",
        epilog="Scores run from 0 (good) to 1 (bad). Without --members, --best or --interactive nothing is written but the figure.",
    )
    parser.add_argument("file", type=Path, metavar="FRAMES", help="a .npy, .npz or TIFF file")
    parser.add_argument("--bundle", default="graphene", metavar="NAME|PATH", help="the ensemble (graphene)")
    parser.add_argument("--frames", metavar="0,5,11 or 0-5", help=f"frames to score ({_SCORED} evenly spread)")
    parser.add_argument("--pixel-size-nm", type=float, metavar="P", help="pixel size in nm, where the file does not say")
    parser.add_argument("--expected-neighbour-nm", type=float, metavar="D", help="distance between nearest neighbours (what the members' median answer has)")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--members", metavar="m00,m03", help="keep these")
    choice.add_argument("--best", type=int, metavar="N", help="keep the N with the least artifacts")
    choice.add_argument("--interactive", action="store_true", help="ask, after the scores have been shown")
    parser.add_argument("--reason", default="", help="why, for the card")
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="all members side by side")
    parser.add_argument("--json", metavar="FILE|-", help="scores and choice for programs")
    parser.add_argument("--out", type=Path, metavar="DIR|FILE.atomstream", help="where the chosen subset goes (NAME-VERSION.atomstream)")
    parser.add_argument("--version", metavar="V", help="its version (the ensemble's, with -selected)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.set_defaults(run=_run)


@dataclass(frozen=True)
class _Scored:
    """Which frames were scored, and how."""

    frames: tuple[int, ...]
    scores: tuple[MemberScores, ...]
    suggested: tuple[str, ...]


def _run(given: argparse.Namespace) -> int:
    images, pixel_nm = read_movie(given.file)
    pixel_nm = given.pixel_size_nm or pixel_nm
    expected_px = _expected_px(given, pixel_nm)
    wanted = frame_numbers(given.frames, len(images), "--frames") if given.frames else _spread(range(len(images)), _SCORED)
    _check_targets(given)
    with TemporaryDirectory(prefix="atomstream-") as state:
        bundle = open_bundle(find_bundle(given.bundle, Path(state)))
        named = None if given.members is None else _named(given.members, bundle)
        out = _target(given, bundle)
        ensemble = load_ensemble(bundle, given.device)
        try:
            scored = _score(ensemble, images, wanted, pixel_nm, expected_px)
            _print(scored, Console(stderr=given.json == "-"))
            if given.figure is not None and given.interactive:
                _draw(given.figure, ensemble, images, pixel_nm, scored, scored.suggested)
            chosen = _choice(given, scored, named)
            if given.figure is not None and not given.interactive:
                _draw(given.figure, ensemble, images, pixel_nm, scored, chosen or scored.suggested)
        finally:
            ensemble.close()
        if chosen:
            _write(bundle, chosen, out, given, scored)
            print(f"wrote {out}: {', '.join(sorted(chosen))}", file=sys.stderr if given.json == "-" else sys.stdout)
        _report(given.json, bundle, scored, chosen, out)
    return 0


def _expected_px(given: argparse.Namespace, pixel_nm: float | None) -> float | None:
    for name in ("pixel_size_nm", "expected_neighbour_nm"):
        value = getattr(given, name)
        if value is not None and not 0 < value < np.inf:
            raise InputError(f"--{name.replace('_', '-')} {value:g} is not above 0")
    if given.expected_neighbour_nm is None:
        return None
    if pixel_nm is None:
        raise InputError(f"--expected-neighbour-nm needs a pixel size, which {given.file} does not tell: give --pixel-size-nm")
    return float(given.expected_neighbour_nm / pixel_nm)


def _check_targets(given: argparse.Namespace) -> None:
    """What can be known to be wrong before the long work."""
    for file in (given.figure, None if given.json in (None, "-") else Path(given.json)):
        if file is not None and not file.parent.is_dir():
            raise InputError(f"there is no folder {file.parent} to write {file.name} into")


def _target(given: argparse.Namespace, bundle: Bundle) -> Path:
    """Where the subset goes, if there is to be one."""
    out = given.out or Path(f"{bundle.card.name}-{_version(given, bundle)}{_SUFFIX}")
    taken = out.exists() and (out.suffix == _SUFFIX or not out.is_dir() or any(out.iterdir()))
    if taken and (given.members or given.best is not None or given.interactive):
        raise InputError(f"{out} is there already: give another --out or --version")
    return Path(out)


def _version(given: argparse.Namespace, bundle: Bundle) -> str:
    return str(given.version or f"{bundle.card.version}-selected")


def _named(text: str, bundle: Bundle) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = bundle.card.member_ids
    if not names or (unknown := [name for name in names if name not in known]):
        raise InputError(f"--members: {', '.join(unknown) if names else 'nothing'} is not one of {', '.join(known)}")
    return names


def _spread(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of some numbers, evenly spread, the first and the last among them."""
    return [numbers[k] for k in sorted({round(at) for at in np.linspace(0, len(numbers) - 1, min(most, len(numbers)))})]


def _score(ensemble: LoadedEnsemble, images: NDArray[Any], wanted: Sequence[int], pixel_nm: float | None, expected_px: float | None) -> _Scored:
    good = [k for k in wanted if _taken(ensemble, images[k], k, pixel_nm)]
    if not good:
        raise InputError("none of the frames can be scored")
    looked = look(ensemble, (images[k] for k in track(good, "scoring", console=Console(stderr=True))), pixel_nm)
    try:
        scores = score_members((images[k] for k in good), looked, ensemble.card.threshold, expected_neighbour_px=expected_px)
    except MemberFailed as error:
        raise InputError(f"the members can't be compared: {error}") from error
    return _Scored(tuple(good), scores, choose(scores))


def _taken(ensemble: LoadedEnsemble, image: NDArray[Any], number: int, pixel_nm: float | None) -> bool:
    try:
        prepare(image, None if pixel_nm is None else (pixel_nm, pixel_nm), ensemble.card)
    except FrameRefused as error:
        print(f"frame {number} is left out: {error}", file=sys.stderr)
        return False
    return True


def _print(scored: _Scored, console: Console) -> None:
    frames = f"frame {scored.frames[0]}" if len(scored.frames) == 1 else f"{len(scored.frames)} frames"
    table = Table(title=f"artifacts on {frames}, from 0 (good) to 1 (bad)", title_justify="left", box=None, pad_edge=False)
    for name in ("", "member", "artifact", *WEIGHTS, "atoms"):
        table.add_column(name.replace("_", " "), justify="left" if name in ("", "member") else "right", overflow="fold")
    for one in rank(scored.scores):
        numbers = [one.artifact, *one.parts.values()]
        mark = "*" if one.member in scored.suggested else ""
        table.add_row(mark, one.member, *("-" if np.isnan(number) else f"{number:.3f}" for number in numbers), f"{one.atoms:.0f}")
    console.print(table)
    if rank(scored.scores)[0].artifact > _POOR:
        console.print("Even the best member shows many artifacts: perhaps none is fit for these frames. Look at the figure.", style="yellow")
    console.print("* suggested: nearly as free of artifacts as the best. The choice is yours: --members, --best or --interactive.", highlight=False)


def _choice(given: argparse.Namespace, scored: _Scored, named: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if named is not None:
        return named
    if given.best is not None:
        return choose(scored.scores, best=given.best)
    return _ask(scored) if given.interactive else None


def _ask(scored: _Scored) -> tuple[str, ...] | None:
    """What somebody at the terminal chooses; None where they leave."""
    known = [one.member for one in scored.scores]
    while True:
        print(f"Members to keep, such as {known[0]},{known[-1]} (Enter: {','.join(scored.suggested)}; q: none): ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        names = tuple(dict.fromkeys(answer.replace(",", " ").split()))
        if not answer or names == ("q",):
            return None
        if not names:
            return scored.suggested
        if not (unknown := [name for name in names if name not in known]):
            return names
        print(f"{', '.join(unknown)} is not one of {', '.join(known)}", file=sys.stderr)


def _draw(file: Path, ensemble: LoadedEnsemble, images: NDArray[Any], pixel_nm: float | None, scored: _Scored, chosen: Sequence[str]) -> None:
    places = _spread(range(len(scored.frames)), _SHOWN)
    numbers = [scored.frames[at] for at in places]
    shown = [images[k] for k in numbers]
    scores = [replace(one, by_frame=tuple(one.by_frame[at] for at in places)) for one in scored.scores]
    file.write_bytes(gallery(shown, list(look(ensemble, shown, pixel_nm)), scores, chosen=chosen, names=[f"frame {k}" for k in numbers]))


def _write(bundle: Bundle, chosen: Sequence[str], out: Path, given: argparse.Namespace, scored: _Scored) -> None:
    how = f"the {given.best} with the least artifacts" if given.best is not None else "chosen by hand"
    frames = f"{given.file.name}: {', '.join(map(str, scored.frames))}"
    with TemporaryDirectory(prefix="atomstream-") as folder:
        target = Path(folder) / "bundle" if out.suffix == _SUFFIX else out
        subset_bundle(bundle, chosen, target, version=_version(given, bundle), reason=given.reason or how, scores=scored.scores, frames=frames)
        if target != out:
            out.parent.mkdir(parents=True, exist_ok=True)
            pack(target, out)


def _report(target: str | None, bundle: Bundle, scored: _Scored, chosen: Sequence[str] | None, out: Path) -> None:
    if target is None:
        return
    found = {
        "bundle": {"name": bundle.card.name, "version": bundle.card.version, "sha256": bundle.sha256},
        "frames": list(scored.frames),
        "ranking": [{"member": one.member, **_numbers({"artifact": one.artifact, **one.parts, "atoms": one.atoms})} for one in rank(scored.scores)],
        "suggested": list(scored.suggested),
        "chosen": list(chosen) if chosen else None,
        "written": str(out) if chosen else None,
    }
    text = json.dumps(found, indent=2) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        Path(target).write_text(text)


def _numbers(numbers: dict[str, float]) -> dict[str, float | None]:
    return {name: None if np.isnan(number) else round(number, 4) for name, number in numbers.items()}
