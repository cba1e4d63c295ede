"""The command `atomstream`."""

from __future__ import annotations

import argparse
import logging
import sys
from importlib.metadata import version

from atomstream_client import ClientError
from atomstream_models.bundle import BundleError
from atomstream_models.errors import InputError
from atomstream_models.runtime import LoadError

from ..errors import AtomstreamError
from . import _bench, _bundle, _demo, _doctor, _drift, _evaluate, _export, _keys, _predict, _replay, _select, _serve, _simulate, _training

_COMMANDS = (_serve, _demo, _simulate, _replay, _predict, _training, _select, _evaluate, _export, _drift, _bundle, _keys, _bench, _doctor)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code, 0 only for success."""
    parser = argparse.ArgumentParser(prog="atomstream", description="Real-time atom finding beside a scanning transmission electron microscope.")
    parser.add_argument("--version", action="version", version=f"atomstream {version('atomstream')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        code: int = given.run(given)
    except (AtomstreamError, BundleError, InputError, LoadError, ClientError, OSError) as error:
        print(f"atomstream: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code
