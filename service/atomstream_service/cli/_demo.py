from __future__ import annotations

import argparse
import signal
from pathlib import Path
from types import FrameType

from ..demo import BUNDLES, run_demo, run_poisoned_demo
from ._commands import Commands
from ._outputs import OVERWRITING, check_output


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "demo",
        help="show the whole system at work",
        description="Start a service, stream a simulated microscope's drifting movie through it, take a member out and put it back on the way, "
        "and score the atoms against the truth. With --poison, one member of a copy of the ensemble sees atoms where there are none: find it on the page and "
        "take it out.",
        epilog=OVERWRITING,
    )
    parser.add_argument("--material", choices=tuple(BUNDLES), default="graphene", help="what lies under the microscope (graphene)")
    parser.add_argument("--headless", action="store_true", help="no table, only the summary")
    parser.add_argument("--stay", action="store_true", help="keep the service and the microscope running until interrupted")
    parser.add_argument("--poison", action="store_true", help="poison one member, for you to find on the page and take out; implies --stay")
    parser.add_argument("--count", type=int, default=24, help="frames to stream (24)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the movie (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every frame")
    parser.add_argument("--report", type=Path, metavar="FILE", default=Path("atomstream-demo.png"), help="picture of the last frame (atomstream-demo.png)")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    if given.json is not None:
        check_output(given.json, ".json")
    check_output(given.report, ".png")
    signal.signal(signal.SIGTERM, _end)
    if given.poison:
        run_poisoned_demo(material=given.material, count=given.count, seed=given.seed, headless=given.headless, json_file=given.json, report=given.report)
    else:
        run_demo(
            material=given.material,
            count=given.count,
            seed=given.seed,
            stay=given.stay,
            headless=given.headless,
            json_file=given.json,
            report=given.report,
        )
    return 0


def _end(number: int, frame: FrameType | None) -> None:
    """End as after an interrupt, so that the service that was started ends, too."""
    raise SystemExit(128 + number)
