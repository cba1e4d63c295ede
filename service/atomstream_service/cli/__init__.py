"""The command `atomstream`."""

from __future__ import annotations

import argparse
import logging
import sys
from importlib import import_module
from importlib.metadata import version

from ..errors import AtomstreamError

_COMMANDS = {
    "serve": "_serve",
    "demo": "_demo",
    "simulate": "_simulate",
    "replay": "_replay",
    "predict": "_predict",
    "train": "_training",
    "refine": "_training",
    "import": "_training",
    "select": "_select",
    "evaluate": "_evaluate",
    "export": "_export",
    "drift": "_drift",
    "bundle": "_bundle",
    "keys": "_keys",
    "bench": "_bench",
    "doctor": "_doctor",
}
"""The module of each command."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code, 0 only for success."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # also while a command's modules are imported, which takes a second or more
        return 130


def _run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="atomstream", description="Real-time atom finding beside a scanning transmission electron microscope.")
    parser.add_argument("--version", action="version", version=f"atomstream {version('atomstream')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in _needed(arguments):
        import_module(f".{module}", __name__).add(commands)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        code: int = given.run(given)
    except _told_in_a_line() as error:
        print(f"atomstream: {error}", file=sys.stderr)
        return 1
    return code


def _needed(arguments: list[str]) -> list[str]:
    """The modules to import: most of a command's start is imports, so that of the one that is named alone, where one is."""
    if arguments and arguments[0] in _COMMANDS:
        return [_COMMANDS[arguments[0]]]
    return list(dict.fromkeys(_COMMANDS.values()))


def _told_in_a_line() -> tuple[type[Exception], ...]:
    """What a message suffices for; imported only where something was raised."""
    from atomstream_client import ClientError  # noqa: PLC0415
    from atomstream_models.bundle import BundleError  # noqa: PLC0415
    from atomstream_models.errors import InputError  # noqa: PLC0415
    from atomstream_models.runtime import LoadError  # noqa: PLC0415

    return AtomstreamError, BundleError, InputError, LoadError, ClientError, OSError
