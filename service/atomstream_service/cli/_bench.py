from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from atomstream_models.bundle import Bundle, find_bundle, open_bundle
from atomstream_models.errors import InputError
from atomstream_models.runtime import Device, LoadedEnsemble, Precision, load_in, processors, runtime_report, ways_here

from ..bench import Case, cost_per_member, flops_of, measure, measure_limits, report
from ._commands import Commands
from ._outputs import check_output, whole

_WIDTH = 160


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "bench",
        help="measure how fast frames are answered on this machine",
        description="Answer simulated frames of several sizes with several numbers of members in every way to run them here, the cases taking turns, and "
        "print medians of each stage, the rate, what share of the machine's own matrix product that is, and what each enabled member costs.",
        epilog="This measures the engine's path without the service around it; `python benchmarks/live.py` measures the service.",
    )
    parser.add_argument("--bundle", default="graphene", metavar="NAME|PATH")
    parser.add_argument("--sides", default="256,512", metavar="256,512", help="rows and columns of the frames")
    parser.add_argument("--members", metavar="1,4,8", help="how many members run (one, one a processor, half and all)")
    parser.add_argument("--rounds", type=int, default=10, help="frames for each case")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--precision", default="fast", choices=("exact", "fast"), help="fast = bfloat16, too, where the processor has it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    bundle = open_bundle(find_bundle(given.bundle, Path(os.environ.get("ATOMSTREAM_STATE", "atomstream-state"))))
    sides = _numbers(given.sides, "--sides", bundle.card.downsample, 1 << 13)
    every = len(bundle.card.members)
    members = _numbers(given.members or f"1,{min(processors(), every)},{max(1, every // 2)},{every}", "--members", 1, every)
    if given.rounds < 1:
        raise InputError(f"--rounds is {given.rounds}, at least one is needed")
    if given.json is not None:
        check_output(given.json, ".json")
    ensembles = _ensembles(bundle, given.device, given.precision)
    cases = [Case(side, count, way) for side in sides for count in members for way in ensembles]
    # Where nobody looks at a terminal, rows are not to be broken to fit into one.
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    with console.status("measuring") if console.is_terminal else _Silent() as status:
        measured = measure(ensembles, cases, given.rounds, say=status.update)
    for one in ensembles.values():
        one.close()
    first = bundle.member_path(bundle.card.member_ids[0])
    table, figures = report(measured, {side: flops_of(first, (side, side)) / 1e9 for side in sides}, measure_limits())
    console.print(table)
    for fit in cost_per_member(measured):
        console.print(f"{fit.side}², {fit.way}: {fit.ms_per_member:.1f} ms for each enabled member, {fit.ms_at_none:.1f} ms besides (r² {fit.r2:.3f})")
    if given.json is not None:
        about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "atomstream": version("atomstream"), **runtime_report().as_json()}
        about["bundle"] = f"{bundle.card.name} {bundle.card.version} ({bundle.sha256[:12]})"
        with whole(given.json) as unfinished:
            unfinished.write_text(json.dumps({**about, **figures}, indent=1) + "\n", encoding="utf-8")
    return 0


class _Silent:
    """In place of a status line where nobody looks."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *ignored: object) -> None:
        pass

    def update(self, text: str) -> None:
        print(text, file=sys.stderr)


def _numbers(text: str, name: str, least: int, most: int) -> list[int]:
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError as error:
        raise InputError(f"{name} {text!r} is not numbers with commas between them") from error
    bad = [number for number in numbers if not least <= number <= most]
    if bad:
        raise InputError(f"{name}: {bad[0]} is not between {least} and {most}")
    return numbers


def _ensembles(bundle: Bundle, device: Device, precision: Precision) -> dict[str, LoadedEnsemble]:
    """The bundle in every way to run it here, by the way's name."""
    ways, left_out = ways_here(device, "auto", precision)
    if left_out is not None:
        print(f"left out: {left_out}", file=sys.stderr)
    return {str(way): load_in(way, bundle, None) for way in ways}
