"""A bundle whose members can run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..analysis import FrameRefused, MemberFailed, Outputs, StripMembers
from ..bundle import Bundle, Card
from ._choice import Choice
from ._device import Device, gpus_for
from ._gpus import ways_on_gpus
from ._onnxruntime import onnxruntime_way
from ._reach import reach_px
from ._tiles import Tile, tiles
from ._ways import LoadError, Members, Way

if TYPE_CHECKING:
    from ._promotion import Promotion, Size

TILE_PIXELS = 5 << 20
"""A quarter of 4096 x 4096 with what the shipped members see around it."""


@dataclass
class LoadedEnsemble:
    """A bundle whose members can run. All calls come from one thread.

    way : what runs them, from the beginning
    members : all of them, as the way opened them
    choice : how the way was chosen; None where there was nothing to choose
    tile_pixels : frames of more pixels than this are run in parts, where the members' reach is known
    strips : the members for scans that still run; None where they look at whole frames only
    promotion : a better way that takes over while frames are answered; None where there is none
    not_promoted : why there is none, where one was asked for
    reach_px : pixels around one that have a part in its answer, the largest of the members'; None where that is not known
    """

    bundle: Bundle
    way: Way
    members: Members = field(repr=False)
    choice: Choice | None = None
    tile_pixels: int = TILE_PIXELS
    strips: StripMembers | None = None
    promotion: Promotion | None = None
    not_promoted: str | None = None
    _promoted: Members | None = field(default=None, init=False, repr=False)

    @property
    def answering(self) -> Way:
        """What ran the members on the last frame."""
        return self.way if self._promoted is None or self.promotion is None else self.promotion.upgrade

    @property
    def card(self) -> Card:
        return self.bundle.card

    @property
    def providers(self) -> tuple[str, ...]:
        """What the members really run on, the best first."""
        return self._running.providers

    @property
    def device(self) -> str:
        """`cuda` or `cpu`, as the sessions report it."""
        return "cuda" if "CUDAExecutionProvider" in self.providers else "cpu"

    @property
    def at_once(self) -> int:
        """How many members run at once."""
        return self._running.at_once

    @property
    def last_ms(self) -> dict[str, float]:
        """Milliseconds that each member took when it last ran."""
        return self._running.last_ms

    def run(self, tensor: NDArray[np.float32], members: Sequence[str]) -> list[NDArray[np.float32]]:
        """The outputs (channels, H, W) of the named members on `tensor` (1, 1, H, W), in order.

        Raises
        ------
        MemberFailed
            when a session fails.
        FrameRefused
            when the device has no room for frames of this size.
        """
        return self.answer(tensor, members).maps

    def answer(self, tensor: NDArray[np.float32], members: Sequence[str]) -> Outputs:
        """As `run`, with the members' mean and std where the device works them out."""
        cut: list[Tile] = []
        if tensor.size > self.tile_pixels and self.reach_px is not None:
            cut = tiles((tensor.shape[2], tensor.shape[3]), self.reach_px, self.card.downsample, self.tile_pixels)
        promotion, shape = self.promotion, cut[0].looks_at if cut else (tensor.shape[2], tensor.shape[3])
        self._promoted = None if promotion is None else promotion.members_for(shape)
        if promotion is not None and self._promoted is not None:
            try:
                return self._answer(tensor, members, cut)
            except (MemberFailed, FrameRefused) as error:
                self._promoted = None
                promotion.refuse(shape, str(error))
        return self._answer(tensor, members, cut)

    def promote(self, told: Callable[[Size], None]) -> None:
        """Begin to make the better way ready, where there is one; `told` of each frame size that it is ready or refused for, from a thread of its own."""
        if self.promotion is not None:
            self.promotion.start(told)

    def upgrade_as_json(self) -> dict[str, Any] | None:
        """How far the better way is; None where none was asked for."""
        if self.promotion is not None:
            return self.promotion.as_json()
        return None if self.not_promoted is None else {"runtime": None, "bits": None, "missing": self.not_promoted, "sizes": []}

    @cached_property
    def reach_px(self) -> int | None:
        reaches = [reach_px(self.bundle.member_path(member)) for member in self.card.member_ids]
        known = [one for one in reaches if one is not None]
        return max(known) if len(known) == len(reaches) else None

    @property
    def _running(self) -> Members:
        return self.members if self._promoted is None else self._promoted

    def _answer(self, tensor: NDArray[np.float32], members: Sequence[str], cut: Sequence[Tile]) -> Outputs:
        """The same answers whole, or from parts that overlap by what the members see around a pixel."""
        running = self._running
        if not cut:
            return running.run(tensor, members)
        shape = (tensor.shape[2], tensor.shape[3])
        took_ms = dict.fromkeys(members, 0.0)
        outputs = [np.empty((self.card.channels, *shape), np.float32) for _ in members]
        for tile in cut:
            answers = running.run(np.ascontiguousarray(tensor[:, :, *tile.look]), members).maps
            for member, output, answer in zip(members, outputs, answers, strict=True):
                if answer.shape[0] != output.shape[0]:
                    raise MemberFailed(member, f"it answers {answer.shape[0]} channels, not {output.shape[0]}")
                output[:, *tile.place] = answer[:, *tile.keep]
                took_ms[member] += running.last_ms[member]
        running.last_ms.update(took_ms)
        return Outputs(outputs)

    def warm(self, shape: tuple[int, int]) -> None:
        """Run every member on noise of a frame shape, rounded up to what the members take: the first run allocates, the second settles.

        Raises
        ------
        LoadError
            where frames of that size can't be had on this device.
        """
        noise = noise_of(shape, self.card)
        try:
            for _ in range(2):
                self.run(noise, self.card.member_ids)
        except FrameRefused as error:
            raise LoadError(str(error)) from error

    def close(self) -> None:
        """Give back all memory that the members hold."""
        if self.promotion is not None:
            self.promotion.close()
        self.members.close()
        if self.strips is not None:
            self.strips.close()


def noise_of(shape: tuple[int, int], card: Card) -> NDArray[np.float32]:
    """Noise of a frame shape, rounded up to what the members take, shape (1, 1, H, W)."""
    return np.random.default_rng(0).standard_normal((1, 1, *padded(shape, card)), np.float32)


def padded(shape: tuple[int, int], card: Card) -> tuple[int, int]:
    """A frame shape, rounded up to what the members take."""
    rows, columns = (-(-n // card.downsample) * card.downsample for n in shape)
    return rows, columns


def load_ensemble(bundle: Bundle, device: Device = "auto", threads: int | None = None) -> LoadedEnsemble:
    """Every member of a bundle on ONNX Runtime, in float32.

    device : where to run; `cuda` refuses to fall back
    threads : members run at once on the CPU; all processors by default

    Raises
    ------
    LoadError
        naming the member that can't be loaded, or saying that CUDA can't be had.
    """
    gpus = gpus_for(device)
    if gpus:
        try:
            return load_in(ways_on_gpus(gpus, "exact")[0], bundle, threads)
        except LoadError:
            if device == "cuda":
                raise
    return load_in(onnxruntime_way(), bundle, threads)


def load_in(way: Way, bundle: Bundle, threads: int | None) -> LoadedEnsemble:
    """Every member of a bundle, run in one way; LoadError where that can't be."""
    return LoadedEnsemble(bundle, way, way.open({member.id: bundle.member_path(member.id) for member in bundle.card.members}, threads))
