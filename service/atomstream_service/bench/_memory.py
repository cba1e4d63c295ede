"""Memory that a case's frames take, in a process that does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from atomstream_models.runtime import Device, Precision

from ._cases import Case
from ._frames import Frames
from ._networks import Network
from ._room import Skipped


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process that answered two frames, in bytes; None where the system does not tell.

    packages : interpreter and packages, before any member was opened
    opened : with all members, before the first frame
    peak : the most that it ever was, all of that included
    device : by how much the GPUs' memory in use grew; None where there is no GPU in use, or none to ask
    """

    packages: int | None
    opened: int | None
    peak: int | None
    device: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_memory(case: Case, network: Network, frames: Frames, device: Device, precision: Precision) -> Memory | Skipped:
    """Answer two frames of a case in a process of its own; Skipped where it dies of it, such as by the system's hand."""
    with TemporaryDirectory(prefix="atomstream-") as folder:
        file = Path(folder) / "frame.npy"
        np.save(file, frames[0])
        task = {"bundle": str(network.bundle.folder), "frame": str(file), "pixel_nm": frames.pixel_nm}
        task |= {"members": case.members, "way": case.way, "device": device, "precision": precision}
        command = [sys.executable, "-m", "atomstream_service.bench", json.dumps(task)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return Skipped(case, f"the process that tried it ended with exit code {done.returncode}{': ' + said[-1] if said else ''}")
    return Memory(**json.loads(done.stdout.splitlines()[-1]))
