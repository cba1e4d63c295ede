"""What running members on a device takes of it, whichever device it is."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class AcceleratorFailed(RuntimeError):
    """The device refused something, for want of memory most likely, or has failed."""


class Accelerator(Protocol):
    """A device with memory of its own that does what it is told in order, on one stream. All its methods may raise `AcceleratorFailed`.

    kind, index : as ONNX Runtime names the device
    provider : what runs sessions on it
    """

    provider: str
    kind: str
    index: int

    def providers(self, *, graphs: bool, channels_last: bool) -> list[Any]:
        """ONNX Runtime's providers for sessions on this device's stream.

        graphs : whether runs are captured once and replayed
        channels_last : whether convolutions go through memory channel by channel
        """
        ...

    def allocate(self, size: int) -> int:
        """Address of `size` bytes of its memory, all zero."""
        ...

    def free(self, address: int) -> None:
        """Give `allocate`'s memory back."""
        ...

    def put(self, address: int, array: NDArray[Any]) -> None:
        """Have an array copied to the device's memory; the array may change once this has returned."""
        ...

    def fetch(self, address: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array that will hold a copy of the device's memory after `wait`."""
        ...

    def mark(self) -> None:
        """Note a moment in the device's work."""
        ...

    def wait(self) -> list[float]:
        """Wait until all that was asked for is done; the milliseconds from each mark to the next, of those since the last wait."""
        ...

    def close(self) -> None:
        """Give back what the device itself holds; arrays that were fetched stay."""
        ...
