from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from atomstream_models.bundle import Bundle, find_bundle, open_bundle
from atomstream_models.errors import InputError
from atomstream_models.report import require_packages
from atomstream_models.runtime import processors, ways_here

from ..bench import (
    BASE_SIDE,
    Case,
    Findings,
    Machine,
    Network,
    ServiceTimes,
    Suite,
    as_json,
    cost_per_member,
    grid,
    measure_service,
    own,
    star,
    table,
    this_machine,
    untrained,
    write_plots,
)
from ..heap import keep_memory
from ._commands import Commands
from ._outputs import check_output, check_outside_bundles, naming, whole

_WIDTH = 175
_MOST_MEMBERS, _MOST_FILTERS, _MOST_SIDE = 64, 256, 1 << 13


@dataclass(frozen=True)
class _Preset:
    """What is measured where nothing else is asked for; members empty = one, one a processor, half and all."""

    sides: str
    members: str
    filters: str
    rounds: int
    star: bool
    service: bool


_PLAIN = _Preset("256,512", "", "", 10, star=False, service=False)
_QUICK = _Preset("256,512,1024", "2,4,8", "16,32", 5, star=True, service=False)
_FULL = _Preset("256,512,1024,2048,4096", "1,2,4,8,16,20", "16,32,64", 30, star=True, service=True)


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "bench",
        help="measure how fast frames are answered on this machine",
        description="Answer simulated frames of several sizes with several numbers of members in every way to run them here, the cases taking turns, and "
        "print medians of each stage, the rate, memory, what share of the machine's own limits that is, and what each enabled member costs. The members of "
        "a smaller bundle take turns under other ids. What there is no memory for is skipped and named.",
        epilog="All but --service measures the engine's path without the service around it.",
    )
    preset = parser.add_mutually_exclusive_group()
    preset.add_argument("--quick", action="store_const", const=_QUICK, dest="preset", help="some minutes: one axis at a time, up to 1024², 8 members")
    preset.add_argument(
        "--full", action="store_const", const=_FULL, dest="preset", help="an hour or so: one axis at a time around 512² and 8 members, and the service"
    )
    parser.add_argument("--bundle", default="graphene", metavar="NAME|PATH")
    parser.add_argument("--sides", metavar="256,512", help="rows and columns of the frames (256,512)")
    parser.add_argument("--members", metavar="1,4,8", help="how many members run (one, one a processor, half and all)")
    parser.add_argument("--filters", metavar="16,32,64", help="measure untrained networks of these widths, too; needs the extra `train`")
    parser.add_argument("--network", default="half-unet", metavar="KIND", help="their kind, as recipes name it (half-unet)")
    parser.add_argument("--rounds", type=int, help="frames for each case; slow cases get fewer (10)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--precision", default="fast", choices=("exact", "fast"), help="fast = bfloat16, too, where the processor has it")
    parser.add_argument("--no-memory", action="store_true", help="do not measure memory, which takes a process of its own for each case")
    parser.add_argument("--service", action="store_true", help="start a service, too: latency over ZeroMQ, from a toggle to its first result, hot load")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw them there as PNG; needs the extra `train`")
    parser.set_defaults(run=_run, preset=_PLAIN)


def _run(given: argparse.Namespace) -> int:
    bundle = open_bundle(find_bundle(given.bundle, Path(os.environ.get("ATOMSTREAM_STATE", "atomstream-state"))))
    preset: _Preset = given.preset
    every = len(bundle.card.members)
    sides = _numbers(given.sides or preset.sides, "--sides", bundle.card.downsample, _MOST_SIDE)
    members = _numbers(given.members or preset.members or f"1,{min(processors(), every)},{max(1, every // 2)},{every}", "--members", 1, _MOST_MEMBERS)
    filters = _numbers(given.filters or preset.filters, "--filters", 1, _MOST_FILTERS) if given.filters or preset.filters else []
    rounds = preset.rounds if given.rounds is None else given.rounds
    if rounds < 1:
        raise InputError(f"--rounds is {rounds}, at least one is needed")
    _check_outputs(given)
    keep_memory()
    machine = this_machine()
    # Where nobody looks at a terminal, rows are not to be broken to fit into one.
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    with TemporaryDirectory(prefix="atomstream-bench-") as folder, console.status("measuring") if console.is_terminal else _Silent() as status:
        networks = [own(bundle)]
        for width in filters:
            status.update(f"exporting {given.network}, {width} filters")
            networks.append(untrained(given.network, width, bundle, Path(folder) / f"filters-{width}"))
        found = _measured(given, networks, (star if preset.star else grid), sides, members, rounds, status.update)
        service = None
        if given.service or preset.service:
            service = _service(given, bundle, Path(folder) / "service", min(sides, key=lambda side: abs(side - BASE_SIDE)), rounds, status.update)
    _print(console, machine, found, service)
    _write(given, machine, bundle, found, service)
    return 0


def _check_outputs(given: argparse.Namespace) -> None:
    """Whatever can be known to be wrong before the long work."""
    if given.json is not None:
        check_output(given.json, ".json")
    if given.plots is not None:
        require_packages()
        check_outside_bundles(given.plots / "members.png")
        if given.plots.exists() and not given.plots.is_dir():
            raise InputError(f"{given.plots} is a file: --plots takes a folder")


def _measured(
    given: argparse.Namespace,
    networks: list[Network],
    design: Callable[[list[str], list[int], list[int], list[str]], list[Case]],
    sides: list[int],
    members: list[int],
    rounds: int,
    say: Callable[[str], None],
) -> Findings:
    ways, left_out = ways_here(given.device, "auto", given.precision)
    if left_out is not None:
        print(f"left out: {left_out}", file=sys.stderr)
    cases = design([one.name for one in networks], sides, members, [str(way) for way in ways])
    return Suite(networks, ways, given.device, given.precision, say=say).run(cases, rounds, memory=not given.no_memory)


def _service(given: argparse.Namespace, bundle: Bundle, folder: Path, side: int, rounds: int, say: Callable[[str], None]) -> ServiceTimes:
    folder.mkdir()
    return measure_service(bundle, folder, side, 10 * rounds, 2 * rounds, max(2, rounds // 3), given.device, given.precision, say)


def _print(console: Console, machine: Machine, found: Findings, service: ServiceTimes | None) -> None:
    print(machine)
    limits = found.limits
    products = [f"{way} {gflops:.0f}" for way, gflops in limits.product_gflops.items()]
    on_gpus = "" if limits.gpu_copy_gb_s is None else f", GPU memory at {limits.gpu_copy_gb_s:.0f} GB/s"
    numpy = f"numpy, float32 {limits.numpy_gflops:.0f}"
    print(f"limits: matrix products in GFLOP/s: {numpy}, {', '.join(products)}; memory copied at {limits.copy_gb_s:.0f} GB/s{on_gpus}")
    console.print(table(found))
    for fit in cost_per_member(found.measured):
        console.print(str(fit), highlight=False)
    for one in found.skipped:
        console.print(f"skipped: {one.case}: {one.reason}", highlight=False)
    if service is not None:
        console.print("\n  ".join(f"service: {service}".split("; ")), highlight=False)


def _write(given: argparse.Namespace, machine: Machine, bundle: Bundle, found: Findings, service: ServiceTimes | None) -> None:
    if given.json is not None:
        about = {**machine.as_json(), "bundle": f"{bundle.card.name} {bundle.card.version} ({bundle.sha256[:12]})"}
        with whole(given.json) as unfinished:
            unfinished.write_text(json.dumps({**about, **as_json(found, service)}, indent=1) + "\n", encoding="utf-8")
    if given.plots is not None:
        with naming(given.plots):
            written = write_plots(found, machine, given.plots)
        print(f"pictures: {', '.join(map(str, written))}")


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
