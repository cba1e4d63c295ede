"""NVIDIA GPUs, as their driver's own tool tells."""

from __future__ import annotations

import subprocess


def gpu_names() -> tuple[str, ...]:
    """What they are called; none without a driver."""
    return tuple(_asked("name"))


def gpu_used_bytes() -> float | None:
    """Memory in use on all of them together, by whichever process; None without a driver."""
    used = _asked("memory.used")
    return sum(float(one) for one in used) * 2**20 if used else None


def _asked(what: str) -> list[str]:
    try:
        done = subprocess.run(["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []
