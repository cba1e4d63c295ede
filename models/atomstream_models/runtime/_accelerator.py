"""What running members on a device takes of it, whichever device it is."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class AcceleratorFailed(RuntimeError):
    """The device refused something, for want of memory most likely, or has failed."""


class Accelerator(Protocol):
    """A device with memory of its own that does what it is told on several streams, in order on each of them.

    A stream belongs to the thread that calls `enter` first, then all that names this stream. All methods may raise `AcceleratorFailed`.

    kind, index : as ONNX Runtime names the device
    provider : what runs sessions on it
    streams : how many there are; copies to the device go over the first one
    """

    provider: str
    kind: str
    index: int
    streams: int

    def enter(self) -> None:
        """Have the calling thread's work go to this device, also while another thread's is captured."""
        ...

    def providers(self, stream: int, *, graphs: bool, channels_last: bool) -> list[Any]:
        """ONNX Runtime's providers for sessions on one of this device's streams.

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

    def fetch(self, stream: int, address: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array that will hold a copy of the device's memory once the stream has been waited for."""
        ...

    def fork(self) -> None:
        """Note a moment on the first stream, for others to wait for."""
        ...

    def follow(self, stream: int) -> None:
        """Have a stream go on only when the first one has come to where it was forked."""
        ...

    def join(self, stream: int) -> None:
        """Have the first stream go on only when another one has done what it was told so far."""
        ...

    def mark(self, stream: int) -> None:
        """Note a moment in a stream's work."""
        ...

    def wait(self, stream: int) -> list[float]:
        """Wait until all that a stream was asked for is done; the milliseconds from each mark to the next, of those since the last wait."""
        ...

    def close(self) -> None:
        """Give back what the device itself holds; arrays that were fetched stay."""
        ...
