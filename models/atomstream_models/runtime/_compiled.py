"""Members on a device that opens only what was compiled for it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ._accelerator import Accelerator
from ._bound import BoundMembers
from ._compiled_networks import CompiledNetworks, Recipe
from ._sharded import ShardedMembers
from ._upgrade import BuiltMembers
from ._ways import LoadError


class CompilingAccelerator(Accelerator, Protocol):
    """A device with a second way of running networks, which have to be compiled for it.

    compiled_provider : what runs them
    """

    compiled_provider: str

    @property
    def recipe(self) -> Recipe:
        """How to compile for this device."""
        ...

    def compiled_providers(self, stream: int, *, graphs: bool) -> list[Any]:
        """As `providers`, for sessions of compiled networks."""
        ...


class CompiledMembers(BoundMembers):
    """Bound members whose networks are compiled first; frames of a size that was not built are refused.

    folder : where compiled networks are kept
    """

    def __init__(self, files: Mapping[str, Path], device: CompilingAccelerator, folder: Path) -> None:
        super().__init__(files, device)
        self.providers = (device.compiled_provider, *(one for one in self.providers if one != device.compiled_provider))
        self._compiling = device
        self._compiled = CompiledNetworks(folder, device.recipe)

    def build(self, shape: tuple[int, int], stop: threading.Event) -> None:
        self._compiled.compile(self._files.values(), shape, stop)
        try:
            self._make(shape)
        except Exception as error:  # ONNX Runtime raises types of its own that share no documented base
            for file in self._files.values():
                self._compiled.discard(file, shape)
            raise LoadError(f"what was compiled for frames of {shape[0]}x{shape[1]} pixels can't be run: {error}") from error

    def _networks(self, shape: tuple[int, int]) -> dict[str, bytes]:
        places = {member: self._compiled.place(file, shape) for member, file in self._files.items()}
        missing = [member for member, place in places.items() if not place.exists()]
        if missing:
            raise LoadError(f"member {missing[0]} is not compiled for frames of {shape[0]}x{shape[1]} pixels")
        return {member: place.read_bytes() for member, place in places.items()}

    def _member_providers(self, stream: int, *, graphs: bool) -> list[Any]:
        return self._compiling.compiled_providers(stream, graphs=graphs)


class ShardedCompiledMembers(ShardedMembers):
    """Compiled members on several devices."""

    def __init__(self, parts: Sequence[tuple[Sequence[str], BuiltMembers]]) -> None:
        super().__init__(parts)
        self._built = [part for _, part in parts]

    def build(self, shape: tuple[int, int], stop: threading.Event) -> None:
        for part in self._built:
            part.build(shape, stop)
