"""The commands that need torch. The service never imports it, so they run in a process of their own."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable

from ..extras import need_training
from ._commands import Commands

_COMMANDS = {
    "train": "train an ensemble",
    "refine": "retrain an ensemble on experimental frames",
    "import": "make a bundle of AtomAI checkpoints or ONNX models",
}


def add(commands: Commands) -> None:
    for name, what in _COMMANDS.items():
        parser = commands.add_parser(name, help=what, add_help=False, prefix_chars="\0")
        parser.add_argument("arguments", nargs=argparse.REMAINDER)
        parser.set_defaults(run=_handed_on(name))


def _handed_on(name: str) -> Callable[[argparse.Namespace], int]:
    def run(given: argparse.Namespace) -> int:
        need_training()
        process = subprocess.Popen([sys.executable, "-m", "atomstream_models.training", name, *given.arguments])
        signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The other process got the interrupt as well; it ends by itself.
            return process.wait()

    return run
