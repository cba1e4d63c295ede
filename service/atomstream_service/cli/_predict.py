from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from atomstream_models.bundle import Card, find_bundle, open_bundle
from atomstream_models.errors import ExtraMissing, InputError
from atomstream_models.recording import open_recording
from atomstream_models.runtime import Loader, Runtime

from ..export import Exported, Format, export
from ..files import as_text, open_frames
from ..predict import Job, Predicted, alone_in, open_result, predict, ran_on
from ._commands import Commands
from ._outputs import check_outside_bundles, whole
from ._pixel_size import check_size, note_unknown

_RESULT = "result.h5"


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "predict",
        help="find the atoms in every frame of a file",
        description="Find the atoms in every frame of a file, with the same numbers as a live service, and write DIR/result.h5 (a recording: frames, atoms, "
        "and with --maps mean and std maps) and DIR/atoms.csv. Frames are read as they are needed, however large the file. A run that was interrupted "
        "goes on where it was when it is started again. Reads what `atomstream replay` reads.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a file of frames, or a recording (FILE::NAME where it holds several)")
    parser.add_argument("--bundle", default="graphene", metavar="NAME|PATH", help="the ensemble (graphene)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results, made where it is not there")
    parser.add_argument("--members", metavar="m00,m03", help="members to use (all)")
    parser.add_argument("--pixel-size-nm", type=float, metavar="P", help="pixel size in nm, in place of what the file says")
    parser.add_argument("--maps", action="store_true", help="write mean and std maps, too (4 bytes a pixel and class, before compression)")
    parser.add_argument("--parquet", action="store_true", help="write DIR/atoms.parquet, too (extra `parquet`)")
    parser.add_argument("--compression", default="lzf", choices=("lzf", "gzip", "none"), help="of frames and maps in result.h5 (lzf)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument(
        "--runtime",
        default="auto",
        choices=("auto", "onnxruntime", "openvino"),
        help="what runs the members (what is fastest here); the same as in the service for the same last digit",
    )
    parser.add_argument("--precision", default="exact", choices=("exact", "fast"), help="fast: half as many bits, where the golden frames allow it")
    parser.add_argument("--json", action="store_true", help="print what was written for programs")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    check_size(given.pixel_size_nm, "--pixel-size-nm")
    if given.parquet and find_spec("pyarrow") is None:
        raise ExtraMissing("pyarrow", "parquet")
    check_outside_bundles(given.out / _RESULT)
    if given.file.resolve() == (given.out / _RESULT).resolve():
        raise InputError(f"{given.file} is read by this command and would be overwritten: give another --out")
    began = time.monotonic()
    with ExitStack() as stack:
        frames = stack.enter_context(open_frames(given.file, None, given.pixel_size_nm))
        state = stack.enter_context(TemporaryDirectory(prefix="atomstream-"))
        bundle = open_bundle(find_bundle(given.bundle, Path(state)))
        members = _members(given.members, bundle.card)
        ensemble = Loader(given.device, None, _runtime(given), given.precision).load(bundle)
        stack.callback(ensemble.close)
        note_unknown(given.file, None if frames.pixel_nm is None else frames.pixel_nm[1], ensemble.card)
        given.out.mkdir(parents=True, exist_ok=True)
        stack.enter_context(alone_in(given.out))
        job = Job.of(frames, ensemble, members, given.maps)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("taking over", total=len(frames))
            result = open_result(
                given.out / _RESULT, job, as_text(frames.file.name), ensemble, given.compression, lambda done, _: progress.update(task, completed=done)
            )
            progress.update(task, description="predicting", completed=result.next)
            done = predict(frames, ensemble, job, result, lambda count: progress.update(task, completed=count))
        about = {"name": ensemble.card.name, "version": ensemble.card.version, "sha256": bundle.sha256, "runs_on": job.runs_on}
        written = _tables(given)
    for frame, why in done.refused.items():
        print(f"frame {frame} is left out: {why}", file=sys.stderr)
    _say(
        given,
        done,
        written,
        job.runs_on,
        {"ensemble": about, "members": list(members), "pixel_size_nm": frames.pixel_nm, "took_s": round(time.monotonic() - began, 3)},
    )
    return 0


def _runtime(given: argparse.Namespace) -> Runtime:
    """What is to run the members; a run that goes on with an interrupted one takes the same, for runtimes differ in the last digit."""
    before = (ran_on(given.out / _RESULT) or "").partition(" ")[0] if given.runtime == "auto" else given.runtime
    return "onnxruntime" if before == "onnxruntime" else "openvino" if before == "openvino" else "auto"


def _members(text: str | None, card: Card) -> Sequence[str]:
    if text is None:
        return card.member_ids
    named = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := sorted(named - set(card.member_ids)):
        raise InputError(f"--members: {card.name} {card.version} has no member {', '.join(unknown)}; it has {', '.join(card.member_ids)}")
    if not named:
        raise InputError("--members names no member")
    return [one for one in card.member_ids if one in named]


def _tables(given: argparse.Namespace) -> Exported:
    """The atoms as tables, from what is in the result."""
    forms: list[tuple[Format, str]] = [("csv", "atoms.csv"), *([("parquet", "atoms.parquet")] if given.parquet else [])]  # type: ignore[list-item]
    written = Exported()
    with open_recording(given.out / _RESULT) as recording:
        for form, name in forms:
            with whole(given.out / name) as unfinished:
                written = export(recording, unfinished, form, range(len(recording)))
    return written


def _say(given: argparse.Namespace, done: Predicted, written: Exported, runs_on: str, about: dict[str, object]) -> None:
    names = [_RESULT, "atoms.csv", *(["atoms.parquet"] if given.parquet else [])]
    if given.json:
        refused = [{"frame": frame, "why": why} for frame, why in done.refused.items()]
        files = [str(given.out / name) for name in names]
        print(json.dumps({"files": files, "frames": done.frames, "taken_over": done.taken_over, "atoms": written.atoms, "refused": refused, **about}))
    else:
        over = f" ({done.taken_over} of them were there already)" if done.taken_over else ""
        print(f"wrote {', '.join(names)} in {given.out}: {written.atoms} atoms of {done.frames} frames{over}, by {runs_on}")
