"""Ways of running a bundle's members, and what each is to keep to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Runtime = Literal["auto", "onnxruntime", "openvino"]
"""auto = what runs the members fastest here, of what is installed and gives what the bundle's maker got."""

Precision = Literal["exact", "fast"]
"""exact = float32 throughout; fast = networks may run in half as many bits, where the golden frames stay within `FAST`."""


class LoadError(RuntimeError):
    """A bundle whose members can't be made into sessions, or not on the device asked for."""


class Session(Protocol):
    """One member, ready to run; used from one thread at a time."""

    @property
    def providers(self) -> tuple[str, ...]:
        """What it really runs on, the best first."""
        ...

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The member's output (1, channels, H, W) on `tensor` (1, 1, H, W), in memory of its own; raises whatever the runtime does."""
        ...


@dataclass(frozen=True)
class Way:
    """A runtime at a precision.

    runtime : its name and version
    bits : of the numbers that the networks compute with: `float32` or `bfloat16`
    open : a member's session from its file, LoadError where it can't be had
    """

    name: Runtime
    runtime: str
    bits: Literal["float32", "bfloat16"]
    open: Callable[[Path], Session]

    def __str__(self) -> str:
        return f"{self.runtime}, {self.bits}"

    def as_json(self) -> dict[str, Any]:
        return {"runtime": self.runtime, "bits": self.bits}
