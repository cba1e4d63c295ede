from __future__ import annotations

import argparse
from pathlib import Path

from ..demo import run_demo
from ._commands import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "demo",
        help="show the whole system at work",
        description="Start a service, stream a simulated microscope's drifting movie through it, take a member out on the way, and score the atoms.",
    )
    parser.add_argument("--headless", action="store_true", help="plain lines, no browser")
    parser.add_argument("--stay", action="store_true", help="keep the service and the microscope running until interrupted")
    parser.add_argument("--count", type=int, default=16, help="frames to stream (16)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the movie (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every frame")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    run_demo(count=given.count, seed=given.seed, stay=given.stay, headless=given.headless, json_file=given.json)
    return 0
