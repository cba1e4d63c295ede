"""Members on a device: everything stays in its memory until the frame's maps are fetched, once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analysis import FrameRefused, Outputs
from ._accelerator import Accelerator, AcceleratorFailed
from ._bound_sessions import BoundSessions, gate, open_session
from ._lanes import Lanes
from ._static import static_member
from ._ways import LoadError

MOST_SHAPES = 3
"""Frame sizes for which sessions are kept; the one that was used longest ago makes room."""


class BoundMembers:
    """Members on one device, dealt out to its streams, each writing its answer into its row of one buffer there; then their mean and standard deviation.

    For each frame size there are sessions of their own, of fixed shape, with fixed addresses: so their work is captured once and replayed.
    To leave a member out is to skip its run; nothing is made anew.

    files : member id -> ONNX file
    half : compute with 16 bits where that does not show
    channels_last : as for `Accelerator.providers`
    """

    at_once = 1
    """Streams share the device: members take longer the more of them run."""

    def __init__(self, files: Mapping[str, Path], device: Accelerator, *, half: bool = False, channels_last: bool = False) -> None:
        self.last_ms: dict[str, float] = {}
        self._files = dict(files)
        self._device = device
        self._lanes = Lanes(device)
        self._half = half
        self._channels_last = channels_last
        self._sets: OrderedDict[tuple[int, int], BoundSessions] = OrderedDict()
        try:
            with gate.shared():
                self._channels, self.providers = self._lanes.do(0, self._look_at, next(iter(files.values()))).result()
            if device.provider not in self.providers:
                raise LoadError(f"the members would run on {', '.join(self.providers)}, not on {device.kind} {device.index}")
        except BaseException:
            self.close()
            raise

    def run(self, tensor: NDArray[np.float32], members: Sequence[str]) -> Outputs:
        shape = (tensor.shape[2], tensor.shape[3])
        while True:
            sessions = self._sessions(shape)
            with gate.shared():
                if sessions.closed:  # forgotten just now, by another thread
                    continue
                try:
                    outputs, took_ms = self._lanes.do(0, sessions.run, tensor, members).result()
                except AcceleratorFailed as error:
                    raise FrameRefused("too_large", f"the device could not answer: {error}") from error
            self.last_ms.update(took_ms)
            return outputs

    def frames_at_once(self, members: int) -> int:
        return 1

    def forget(self, shape: tuple[int, int]) -> None:
        sessions = self._sets.pop(shape, None)
        if sessions is not None:
            with gate.alone():
                sessions.close()

    def close(self) -> None:
        """A frame under way is answered first."""
        self._lanes.close()
        with gate.shared():
            while self._sets:
                self._sets.popitem()[1].close()
            self._device.close()

    def _sessions(self, shape: tuple[int, int]) -> BoundSessions:
        if shape not in self._sets:
            try:
                self._make(shape)
            except Exception as error:  # ONNX Runtime raises types of its own that share no documented base, for want of memory most likely
                rows, columns = shape
                raise FrameRefused("too_large", f"the members can't be made ready for frames of {rows}x{columns} pixels: {error}") from error
        self._sets.move_to_end(shape)
        return self._sets[shape]

    def _make(self, shape: tuple[int, int]) -> None:
        while len(self._sets) >= MOST_SHAPES:
            with gate.shared():
                self._sets.popitem(last=False)[1].close()
        networks = self._networks(shape)
        self._sets[shape] = BoundSessions(networks, self._channels, shape, self._device, self._lanes, self._member_providers, self._providers)

    def _look_at(self, file: Path) -> tuple[int, tuple[str, ...]]:
        """A member's channels, and what it runs on; the session ends with the call."""
        session = open_session(file.read_bytes(), self._providers(0, graphs=False), captured=False)
        return int(session.get_outputs()[0].shape[1]), tuple(session.get_providers())

    def _networks(self, shape: tuple[int, int]) -> dict[str, bytes]:
        return {member: static_member(file, shape, half=self._half, simpler=True) for member, file in self._files.items()}

    def _member_providers(self, stream: int, *, graphs: bool) -> list[Any]:
        return self._providers(stream, graphs=graphs)

    def _providers(self, stream: int, *, graphs: bool) -> list[Any]:
        return self._device.providers(stream, graphs=graphs, channels_last=self._channels_last)
