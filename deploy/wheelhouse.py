#!/usr/bin/env python3
"""All that Atomstream needs, as files in one folder, for computers without the internet.

    python deploy/wheelhouse.py                                             # for a computer like this one, into wheelhouse/
    python deploy/wheelhouse.py --extras gpu,streams --python 3.12          # another Python
    python deploy/wheelhouse.py --platform win_amd64 --python 3.12          # Windows

Needs pip (and hatchling, which pip fetches) in the Python that runs it, and the package `packaging`. On the other computer: see INSTALL.txt in the folder.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).resolve().parents[1]
_LINUX = "manylinux_2_28_x86_64"
_PLATFORMS = {
    _LINUX: ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "linux_x86_64"),
    "manylinux_2_28_aarch64": ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    "win_amd64": ("win_amd64",),
}
"""The platforms offered, each with the tags of wheels that run there."""
_INSTALL = """Atomstream without the internet
===============================
Made for Python {python} on {platform}; copy this folder there, and in it:

    python -m venv atomstream
    {bin}pip install --no-index --find-links . "atomstream[{extras}]"
    {bin}atomstream doctor

On the instrument's own computer, into the microscope program's Python (3.7 or later), which has numpy and pyzmq or is Python {python} on {platform}, too:

    python -m pip install --no-index --find-links . atomstream-client

For another Python that lacks one of them, docs/deployment.md says how to fetch both.

Whether all files came over whole: sha256sum --check SHA256SUMS
"""


class WheelhouseFailed(Exception):
    """Something is not to be had as a wheel."""


def main() -> int:
    """Fill the folder; returns the exit code."""
    parser = argparse.ArgumentParser(description="Fill a folder with all that Atomstream needs, for computers without the internet.")
    parser.add_argument("--extras", default="cpu,openvino,streams", help="what runs the members, and more (cpu,openvino,streams, as in the image)")
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}", metavar="3.X", help="the other computer's Python")
    parser.add_argument("--platform", choices=tuple(_PLATFORMS), default=_LINUX, help=f"the other computer ({_LINUX})")
    parser.add_argument("--out", type=Path, default=Path("wheelhouse"), metavar="DIR", help="the folder (wheelhouse)")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    try:
        _fill(given.out, given.extras, given.python, given.platform)
    except WheelhouseFailed as error:
        print(f"wheelhouse: {error}", file=sys.stderr)
        return 1
    wheels = sorted(given.out.glob("*.whl"))
    print(f"{given.out}: {len(wheels)} wheels, {sum(one.stat().st_size for one in wheels) / 1e6:.0f} MB; what to do with them: {given.out / 'INSTALL.txt'}")
    return 0


def _fill(out: Path, extras: str, python: str, platform: str) -> None:
    for project in (_ROOT, _ROOT / "clients"):
        _pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(project))
    (ours,) = out.glob("atomstream-[0-9]*.whl")
    tags = [f"--platform={tag}" for tag in _PLATFORMS[platform]]
    get = ("download", "--quiet", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *tags, f"--find-links={out}", f"--dest={out}")
    _pip(*get, f"{ours}[{extras}]")
    # pip decides by the computer that it runs on what `; sys_platform == "win32"` means, so that it may have left something out.
    target = _environment(python, platform)
    wanted = {*extras.split(",")}
    while missing := sorted(_missing(out, wanted, target)):
        print(f"also needed there: {', '.join(missing)}")
        _pip(*get, *missing)
    wheels = sorted(out.glob("*.whl"))
    (out / "SHA256SUMS").write_text("".join(f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.name}\n" for one in wheels), encoding="utf-8")
    folder = "atomstream\\Scripts\\" if platform.startswith("win") else "atomstream/bin/"
    (out / "INSTALL.txt").write_text(_INSTALL.format(python=python, platform=platform, extras=extras, bin=folder), encoding="utf-8")


def _pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], check=False)
    if done.returncode:
        raise WheelhouseFailed(f"pip {arguments[0]} failed; its reason stands above")


def _environment(python: str, platform: str) -> dict[str, str]:
    """What markers of requirements are about, as it is on the other computer."""
    windows = platform.startswith("win")
    machine = "AMD64" if windows else platform.rpartition("_28_")[2]
    return {
        **{name: str(value) for name, value in default_environment().items()},
        "implementation_name": "cpython",
        "os_name": "nt" if windows else "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Windows" if windows else "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "win32" if windows else "linux",
    }


def _missing(folder: Path, extras: set[str], target: dict[str, str]) -> set[str]:
    """Requirements, reached from our own wheel, that no wheel in the folder is for."""
    have = {canonicalize_name(one.name.split("-")[0]): one for one in folder.glob("*.whl")}
    todo, seen, missing = [("atomstream", frozenset(extras))], set(), set()
    while todo:
        name, wanted = todo.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for needed in _requirements(have[canonicalize_name(name)]):
            if needed.marker is not None and not any(needed.marker.evaluate({**target, "extra": extra}) for extra in (wanted or {""})):
                continue
            key = canonicalize_name(needed.name)
            if key in have:
                todo.append((key, frozenset(needed.extras)))
            else:
                missing.add(f"{needed.name}{needed.specifier}")
    return missing


def _requirements(wheel: Path) -> Iterator[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA") and one.count("/") == 1)
        metadata = HeaderParser().parsestr(archive.read(name).decode("utf-8"))
    for line in metadata.get_all("Requires-Dist", []):
        yield Requirement(line)


if __name__ == "__main__":
    sys.exit(main())
