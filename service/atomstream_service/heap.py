"""The C library's memory, which frames want kept and ensembles that have gone want given back. Only glibc has these switches."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8


def keep_memory() -> None:
    """Have the C library keep freed memory for the next frame instead of giving it back and faulting it in again.

    A frame's temporaries are the same every time; this was measured to halve the time of locating atoms.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TOP_PAD, 64 << 20)
        # Each ensemble brings threads of its own; with a heap for each, what they leave behind would add up from one ensemble to the next.
        libc.mallopt(_M_ARENA_MAX, 2)


def give_memory_back() -> None:
    """Give back what is free now, once: after an ensemble has gone it would stay in pieces too scattered for the next one."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if libc is not None and hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
