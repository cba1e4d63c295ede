"""A network with weights drawn at random, as a bundle of one member: `atomstream bench` measures how long networks take, not what they answer."""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import ValidationError

from ...bundle import MemberSource, read_card, write_bundle
from ...errors import InputError, wrong_keys
from .._export import export_member
from ..networks import NetworkSettings, build_network

if TYPE_CHECKING:
    from ._types import Commands

_SEED = 0


def add(commands: Commands) -> None:
    parser = commands.add_parser("untrained", description="Write a bundle of one network that has learnt nothing, without golden frames.")
    parser.add_argument("network", metavar="'half-unet filters=32'", help="as recipes and cards name it")
    parser.add_argument("--like", type=Path, required=True, metavar="DIR", help="a bundle whose classes, normalisation and pixel sizes it has")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    settings = _settings(given.network)
    like, _ = read_card(given.like)
    torch.manual_seed(_SEED)
    network = build_network(settings, like.channels)
    about = {
        **like.model_dump(mode="json", include={"classes", "background", "normalization", "pixel_size_nm", "threshold"}),
        "name": f"{settings.kind}-{settings.filters}",
        "version": "untrained",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "origin": "simulated",
        "downsample": network.downsample,
    }
    with tempfile.TemporaryDirectory(prefix="atomstream-") as folder:
        file = Path(folder) / "member.onnx"
        export_member(network, file, downsample=network.downsample)
        write_bundle(given.out, about, [MemberSource("m00", file, str(settings), _SEED)])
    return 0


def _settings(text: str) -> NetworkSettings:
    try:
        return NetworkSettings.parse(text)
    except ValidationError as error:
        raise InputError(f"network {text!r}: {'; '.join(wrong_keys(error, 'network'))}") from error
    except ValueError as error:
        raise InputError(f"network {text!r} is not a name and options, such as 'half-unet filters=32'") from error
