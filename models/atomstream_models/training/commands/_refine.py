from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...analysis import FrameRefused
from ...bundle import find_bundle, open_bundle
from ...errors import InputError
from ...movies import frame_numbers, read_movie
from .._recipe import load_recipe
from .._refine import Iteration, refine
from .._run import Run
from ..data import Region
from ._progress import following
from ._train import add_executor, executor

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._types import Commands

_RECIPE = "refine"


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "refine",
        help="retrain an ensemble on experimental frames",
        description="Let the best members of an ensemble label chosen frames, clean the labels, and train a new ensemble on them: the iterative part "
        "of ELIT. Called again with the same folder, a refinement that was cut off goes on.",
    )
    parser.add_argument("frames_file", type=Path, metavar="FRAMES", help="a recording, or a .npy, .npz, TIFF or HDF5 file (FILE.h5::DATASET where it has several)")
    parser.add_argument("--bundle", required=True, metavar="NAME|PATH", help="the ensemble that labels the frames")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the refinement; the bundle of round N comes to DIR/N/bundle")
    parser.add_argument("--members", metavar="m00,m03", help="its artifact-free members (all)")
    parser.add_argument("--frames", metavar="0-5,9", help="frames to learn from (all)")
    parser.add_argument("--region", action="append", default=[], metavar="Y0:Y1,X0:X1", help="part of the frames to learn from, in pixels; may be given again")
    parser.add_argument("--pixel-size-nm", type=float, metavar="P", help="pixel size in nm, where the file does not say")
    parser.add_argument("--classes", metavar="C,Si", help="classes of the new ensemble (those of the old one); others are told by brightness, dark to bright")
    parser.add_argument("--iterations", type=int, default=1, metavar="N", help="rounds at most; ends when the detection rate no longer rises (1)")
    parser.add_argument("--strategy", choices=("scratch", "baseline"), help="start anew, or from the first chosen member")
    parser.add_argument("--recipe", default=_RECIPE, metavar="RECIPE", help=f"how to train ({_RECIPE})")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a setting of the recipe: training.steps=300")
    parser.add_argument("--name", help="name of the new bundle (that of the old one)")
    parser.add_argument("--version", help="version of the new bundle (that of the old one, with .1 added)")
    add_executor(parser)
    parser.add_argument("--json", action="store_true", help="print the figures for programs")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    if given.iterations < 1:
        raise InputError(f"--iterations {given.iterations}: a refinement takes one round at least")
    if given.pixel_size_nm is not None and not 0 < given.pixel_size_nm < float("inf"):
        raise InputError(f"--pixel-size-nm {given.pixel_size_nm:g} is not the size of a pixel")
    parent = open_bundle(find_bundle(given.bundle, given.out))
    images, pixel_nm = read_movie(given.frames_file)
    pixel_nm = pixel_nm if given.pixel_size_nm is None else given.pixel_size_nm
    changes = [f'name="{given.name or parent.card.name}"', f'version="{given.version or parent.card.version + ".1"}"']
    if parent.card.license:
        changes.append(f"license={json.dumps(parent.card.license)}")
    if given.recipe == _RECIPE:
        changes.append(f"classes={json.dumps(parent.card.classes)}")
    if given.classes is not None:
        changes.append(f"classes={json.dumps(given.classes.split(','))}")
    if given.strategy is not None:
        changes.append(f'training.strategy="{given.strategy}"')
    if pixel_nm is not None:
        changes.append(f"pixel_size_nm=[{0.8 * pixel_nm:.4g}, {1.25 * pixel_nm:.4g}]")
    recipe = load_recipe(given.recipe, [*changes, *given.changes])
    with ExitStack() as stack:

        def begin(run: Run, number: int) -> Callable[[int], None]:
            stack.close()
            return stack.enter_context(following(run, recipe, quiet=given.json))

        try:
            rounds = refine(
                list(images),
                pixel_nm,
                parent,
                recipe,
                given.out,
                executor(given),
                members=None if given.members is None else given.members.split(","),
                use=None if given.frames is None else frame_numbers(given.frames, len(images), "--frames"),
                regions=[parse_region(text) for text in given.region],
                iterations=given.iterations,
                begin=begin,
            )
        except FrameRefused as error:
            raise InputError(f"{given.frames_file}: {error}") from error
    figures = [_figures(one) for one in rounds]
    if given.json:
        print(json.dumps(figures, indent=2))
        return 0
    for one in figures:
        counts = ", ".join(f"{name} {count}" for name, count in one["atoms"].items())
        print(f"{one['bundle']}: labels {counts}; detected {one['detected_before']:.1f} -> {one['detected_after']:.1f} atoms a frame")
    return 0


def parse_region(text: str) -> Region:
    """The region in `Y0:Y1,X0:X1`.

    Raises
    ------
    InputError
        for another text.
    """
    try:
        (y0, y1), (x0, x1) = (map(int, part.split(":")) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{text!r} is not a region such as 0:256,100:356 (rows, columns)") from error
    return y0, y1, x0, x1


def _figures(one: Iteration) -> dict[str, Any]:
    return {
        "bundle": str(one.run.bundle),
        "threshold": one.card.threshold,
        "validation_f1": one.card.training["validation_f1"],
        "atoms": one.counts,
        "detected_before": one.detected[0],
        "detected_after": one.detected[1],
    }
