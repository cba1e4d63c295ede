"""Where and when figures were measured."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from atomstream_models.runtime import processors

from ._gpus import gpu_names

_PACKAGES = ("atomstream", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "opencv-python-headless", "pyzmq", "torch")


@dataclass(frozen=True)
class Machine:
    """A machine and what is installed on it.

    date : in UTC
    cpu : the processor's own name, or its architecture where it has none
    processors : that this process may use
    memory_bytes : that the machine has; None where the system does not tell
    gpus : their names
    system : operating system and Python
    packages : name -> version
    """

    date: str
    cpu: str
    processors: int
    memory_bytes: int | None
    gpus: tuple[str, ...]
    system: str
    packages: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        gpus = " + ".join(self.gpus) or "no GPU"
        packages = ", ".join(f"{name} {self.packages[name]}" for name in ("atomstream", "onnxruntime", "onnxruntime-gpu", "openvino") if name in self.packages)
        return f"{self.cpu}, {self.processors} processors, {gpus}; {packages}; {self.date[:10]}"


def this_machine() -> Machine:
    """This machine, now."""
    return Machine(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu=_told(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine(),
        processors=processors(),
        memory_bytes=_memory_bytes(),
        gpus=gpu_names(),
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        packages={name: number for name in _PACKAGES if (number := _version(name)) is not None},
    )


def _memory_bytes() -> int | None:
    total = _told(Path("/proc/meminfo"), "MemTotal")
    return None if total is None else 1024 * int(total.split()[0])


def _told(file: Path, key: str) -> str | None:
    """The first value of a key in one of the kernel's tables; None where there is no such table or key."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return next((value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == key), None)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
