"""Ways of running a bundle's members, and what each is to keep to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..analysis import Outputs

Runtime = Literal["auto", "onnxruntime", "openvino"]
"""auto = what runs the members fastest here, of what is installed and gives what the bundle's maker got."""

Precision = Literal["exact", "fast"]
"""exact = float32 throughout; fast = networks may run in half as many bits, where the golden frames stay within `FAST`."""


class LoadError(RuntimeError):
    """A bundle whose members can't be made into sessions, or not on the device asked for."""


class Session(Protocol):
    """One member, ready to run.

    shared : whether several threads may use it at the same time
    """

    shared: bool

    @property
    def providers(self) -> tuple[str, ...]:
        """What it really runs on, the best first."""
        ...

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The member's output (1, channels, H, W) on `tensor` (1, 1, H, W), in memory of its own; raises whatever the runtime does."""
        ...


class Members(Protocol):
    """Members, ready to run; used from one thread at a time unless `frames_at_once` says otherwise.

    providers : what they really run on, the best first
    at_once : how many run side by side
    last_ms : milliseconds that each member took when it last ran
    """

    providers: tuple[str, ...]
    at_once: int
    last_ms: dict[str, float]

    def run(self, tensor: NDArray[np.float32], members: Sequence[str]) -> Outputs:
        """What the named members answer to `tensor` (1, 1, H, W); raises MemberFailed where a session fails."""
        ...

    def frames_at_once(self, members: int) -> int:
        """How many frames, each with so many members, are to be run at the same time, from as many threads, so that nothing waits; 1 = only from one thread."""
        ...

    def forget(self, shape: tuple[int, int]) -> None:
        """Give back what frames (rows, columns) alone need; such a frame is still answered, later."""
        ...

    def close(self) -> None:
        """Give back all memory."""
        ...


@dataclass(frozen=True)
class Way:
    """A runtime at a precision.

    runtime : its name and version, and what else tells this way from others
    bits : of the numbers that the networks compute with
    open : members from their files (member id -> file), and how many are to run at once (None = as many as is good); LoadError where they can't be had
    """

    name: Runtime
    runtime: str
    bits: Literal["float32", "bfloat16", "float16"]
    open: Callable[[Mapping[str, Path], int | None], Members]

    def __str__(self) -> str:
        return f"{self.runtime}, {self.bits}"

    def as_json(self) -> dict[str, Any]:
        return {"runtime": self.runtime, "bits": self.bits}
