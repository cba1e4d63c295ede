from __future__ import annotations

import os
import sys
from pathlib import Path


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM now; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
