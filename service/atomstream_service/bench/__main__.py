"""Answers two frames and prints what memory that took: `python -m atomstream_service.bench TASK`.

A process of its own, because memory that another case has used before can't be told from what this one needs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from atomstream_models.analysis import finish, infer, prepare
from atomstream_models.bundle import Bundle, read_card
from atomstream_models.each import Sharing
from atomstream_models.runtime import load_in, processors, ways_here

from ..heap import keep_memory
from ._gpus import gpu_used_bytes
from ._networks import in_turns

_FRAMES = 2
"""The first allocates, the second settles."""


def main() -> int:
    keep_memory()
    print(json.dumps(_measured(json.loads(sys.argv[1]))))
    return 0


def _measured(task: dict[str, Any]) -> dict[str, Any]:
    image = np.load(task["frame"])
    folder, pixel_size_nm = Path(task["bundle"]), (task["pixel_nm"], task["pixel_nm"])
    (way,) = (one for one in ways_here(task["device"], "auto", task["precision"])[0] if str(one) == task["way"])
    packages, on_device = _peak_bytes(), gpu_used_bytes()
    ensemble = load_in(way, in_turns(Bundle(folder, read_card(folder)[0], ""), task["members"]), None)
    opened = _peak_bytes()
    with Sharing(processors()) as helpers:
        for _ in range(_FRAMES):
            inferred = infer(prepare(image, pixel_size_nm, ensemble.card), ensemble.card, ensemble.card.member_ids, ensemble.answer, helpers.each)
            finish(inferred, ensemble.card, helpers.each)
    grown = None if on_device is None or ensemble.device != "cuda" else (gpu_used_bytes() or on_device) - on_device
    return {"packages": packages, "opened": opened, "peak": _peak_bytes(), "device": grown}


def _peak_bytes() -> int | None:
    """The most resident memory that this process has had; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():
        # What getrusage says begins, on Linux, with what the process had that started this one.
        return next(1024 * int(line.split()[1]) for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
    if sys.platform != "darwin":
        return None
    import resource  # noqa: PLC0415

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    sys.exit(main())
