from __future__ import annotations

import argparse
import json
import os
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from atomstream_models.bundle import find_bundle, open_bundle
from atomstream_models.runtime import Loader, runtime_report, tensorrt_missing

from ._commands import Commands

_PACKAGES = (
    "atomstream",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt-cu13",
    "tensorrt-cu12",
    "openvino",
    "numpy",
    "opencv-python-headless",
    "pyzmq",
    "fastapi",
    "torch",
)


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "doctor", help="say what this machine runs on", description="Load an ensemble, run its golden frames and say on what it really ran."
    )
    parser.add_argument("--bundle", default="graphene", metavar="NAME|PATH")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--precision", default="exact", choices=("exact", "fast"), help="exact = float32; fast = half as many bits, where that is good enough")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    report = runtime_report()
    packages = {name: number for name in _PACKAGES if (number := _version(name)) is not None}
    found: dict[str, Any] = {"packages": packages, **report.as_json(), "warnings": _warnings(packages)}
    state = Path(os.environ.get("ATOMSTREAM_STATE", "atomstream-state"))
    ensemble = Loader(given.device, precision=given.precision).load(open_bundle(find_bundle(given.bundle, state)))
    ensemble.warm((512, 512))
    frame = np.random.default_rng(0).standard_normal((1, 1, 512, 512), np.float32)
    start = time.perf_counter()
    ensemble.run(frame, ensemble.card.member_ids)
    found |= {
        "device": ensemble.device,
        "providers": list(ensemble.providers),
        "way": str(ensemble.way),
        "tensorrt_missing": tensorrt_missing(),
        "choice": None if ensemble.choice is None else ensemble.choice.as_json(),
        "bundle": f"{ensemble.card.name} {ensemble.card.version}, {len(ensemble.card.members)} members, golden frames agree",
        "members_512_ms": round(1000 * (time.perf_counter() - start), 1),
    }
    ensemble.close()
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        _print(found)
    return 1 if found["warnings"] else 0


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _warnings(packages: dict[str, str]) -> list[str]:
    if "onnxruntime" in packages and "onnxruntime-gpu" in packages:
        return ["onnxruntime and onnxruntime-gpu are both installed and overwrite each other; uninstall both, then install one"]
    return []


def _print(found: dict[str, Any]) -> None:
    print(f"machine      {found['machine']}, {found['processors']} processors, {found['cuda_devices']} CUDA devices")
    print(f"packages     {', '.join(f'{name} {number}' for name, number in found['packages'].items())}")
    print(f"runtime      {found['runtime']}, built with {', '.join(found['providers_built_in'])}")
    print(f"runs on      {found['device']} ({', '.join(found['providers'])}) with {found['way']}")
    for one in found["choice"]["tried"] if found["choice"] else ():
        time_ms = "not measured" if one["ms"] is None else f"{one['ms']:.0f} ms"
        print(f"tried        {one['runtime']}, {one['bits']}: {time_ms}{', ' + one['complaint'] if one['complaint'] else ''}")
    if found["choice"] and found["choice"]["left_out"]:
        print(f"left out     {found['choice']['left_out']}")
    print(f"tensorrt     {found['tensorrt_missing'] or 'can be asked for: tensorrt = true'}")
    print(f"bundle       {found['bundle']}")
    print(f"512x512      all members in {found['members_512_ms']} ms")
    for warning in found["warnings"]:
        print(f"warning      {warning}")
