from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from atomstream_models.errors import InputError
from atomstream_models.movies import frame_numbers
from atomstream_models.recording import Recording, open_recording

from ..export import SUFFIXES, Format, export
from ._commands import Commands
from ._outputs import check_output, whole
from ._pixel_size import check_size


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "export",
        help="write the atoms of a recording for other programs",
        description="Write the atoms of a recording, one row an atom: frame, y, x (pixels), class, p, p_std, votes, sigma_y, sigma_x, area, id, and y_nm, x_nm "
        "where the pixel size is known. Extended XYZ is in angstrom; .npz has an array (row, column, class) for each frame, as AtomAI's coordinates; "
        ".hspy is a signal of HyperSpy with the frames and their atoms.",
        epilog="An output may replace a file of its own kind. Parquet needs the extra `parquet`, extended XYZ the extra `structures`, .hspy the extra "
        "`hyperspy`.",
    )
    parser.add_argument("file", type=Path, metavar="RECORDING", help="a recording, finished or interrupted")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--format", choices=tuple(SUFFIXES), help="what to write (by the ending of FILE)")
    parser.add_argument("--frames", metavar="0,5,11 or 0-5", help="frames to export (all)")
    parser.add_argument("--pixel-size-nm", type=float, metavar="P", help="pixel size in nm, in place of what the recording says")
    parser.add_argument("--json", action="store_true", help="print what was written for programs")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    check_size(given.pixel_size_nm, "--pixel-size-nm")
    form = _format(given)
    check_output(given.out, given.out.suffix.lower() if given.out.suffix.lower() in SUFFIXES[form] else SUFFIXES[form][0], [given.file])
    with open_recording(given.file) as recording:
        if not len(recording):
            raise InputError(f"{given.file} holds no frame")
        if not recording.complete:
            print(f"{given.file} was not finished: what was committed to it is exported, {len(recording)} frames", file=sys.stderr)
        places = range(len(recording)) if given.frames is None else _places(recording, given.frames)
        with whole(given.out) as unfinished:
            done = export(recording, unfinished, form, places, given.pixel_size_nm)
        complete = recording.complete
    if given.json:
        print(json.dumps({"out": str(given.out), "format": form, "frames": done.frames, "atoms": done.atoms, "complete": complete}))
    else:
        print(f"wrote {given.out}: {done.atoms} atoms of {done.frames} frames")
    return 0


def _places(recording: Recording, text: str) -> list[int]:
    """Where the frames are that --frames names."""
    numbers = recording.numbers
    wanted = frame_numbers(text, int(numbers[-1]) + 1, "--frames")
    places = [int(place) for place in np.flatnonzero(np.isin(numbers, wanted))]
    if not places:
        raise InputError(f"--frames {text}: {recording.path} has none of these frames; those that could not be processed are left out")
    return places


def _format(given: argparse.Namespace) -> Format:
    found: Format | None = given.format or next((form for form, endings in SUFFIXES.items() if given.out.suffix.lower() in endings), None)
    if found is None:
        raise InputError(f"{given.out}: its ending names no format; end it in {', '.join(e for one in SUFFIXES.values() for e in one)}, or give --format")
    return found
