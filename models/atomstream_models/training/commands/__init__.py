"""The commands that need torch, run as `python -m atomstream_models.training COMMAND`; `atomstream` hands them on."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ...analysis import MemberFailed
from ...bundle import BundleError
from ...errors import InputError
from ...runtime import LoadError
from .._pack import ExportDiffers
from . import _import, _refine, _train, _untrained

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = (_train, _refine, _import, _untrained)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code, 0 only for success."""
    parser = argparse.ArgumentParser(prog="atomstream")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    given = parser.parse_args(arguments)
    try:
        code: int = given.run(given)
    except (InputError, BundleError, ExportDiffers, LoadError, MemberFailed, OSError) as error:
        print(f"atomstream: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code
