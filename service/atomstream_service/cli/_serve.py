from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..config import config_example, load_config
from ..control import serve
from ..formats import need_packages
from ..logs import set_up_logs
from ._commands import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser("serve", help="run the service", description="Run the service until it is interrupted. Flags override the file.")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; --example prints such a file")
    parser.add_argument("--frames", metavar="tcp://HOST:PORT", help="where frames come in (tcp://127.0.0.1:5555)")
    parser.add_argument("--results", metavar="tcp://HOST:PORT", help="where results go out (tcp://127.0.0.1:5556)")
    parser.add_argument("--http", metavar="HOST:PORT", help="where the control plane answers (127.0.0.1:8000)")
    parser.add_argument("--bundle", metavar="NAME|PATH", help="the ensemble to start with (graphene)")
    parser.add_argument("--state", type=Path, metavar="DIR", help="what outlives a restart (atomstream-state)")
    parser.add_argument("--example", action="store_true", help="print a file of settings to begin with, and end")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    if given.example:
        print(config_example(), end="")
        return 0
    flags = {name: getattr(given, name) for name in ("frames", "results", "http", "bundle", "state")}
    config = load_config(given.config, os.environ, flags)
    need_packages(config.frames)

    def say() -> None:
        frames = ", ".join(f"{one.endpoint} ({one.socket}, {one.policy})" for one in config.frames)
        print(f"atomstream: frames {frames}; results {config.results}; {config.scheme}://{config.http}/docs", flush=True)

    set_up_logs(config.log_format, config.log_level, "control")
    serve(config, say)
    return 0
