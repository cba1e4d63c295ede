"""Ensembles, run in the way that is fastest on this very machine."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..analysis import FrameRefused, MemberFailed
from ..bundle import Bundle, BundleError
from ._accept import accept, tolerance_of
from ._choice import Choice, Tried
from ._device import Device, gpus_for, processors
from ._ensemble import TILE_PIXELS, LoadedEnsemble, load_in, noise_of, padded
from ._gpus import ways_on_gpus
from ._onnxruntime import onnxruntime_way
from ._openvino import openvino_ways
from ._promotion import Promotion
from ._races import Races
from ._upgrade import Upgrade
from ._ways import LoadError, Members, Precision, Runtime, Way

_ROUNDS = 3
_SHAPE = (512, 512)


def ways_here(device: Device, runtime: Runtime, precision: Precision) -> tuple[list[Way], str | None]:
    """The ways to run members on this machine, and why there are no more of them.

    Raises
    ------
    LoadError
        where what is asked for can't be had.
    """
    gpus = gpus_for(device)
    if runtime == "openvino" and device == "cuda":
        raise LoadError('runtime openvino runs members on the CPU alone; set device = "cpu"')
    on_gpus = ways_on_gpus(gpus, precision) if gpus and runtime != "openvino" else []
    if device == "cuda":
        return on_gpus, None
    if runtime == "onnxruntime":
        return [*on_gpus, onnxruntime_way()], None
    on_openvino, left_out = openvino_ways(fast=precision == "fast")
    if runtime == "auto":
        return [*on_gpus, onnxruntime_way(), *on_openvino], left_out
    if not on_openvino:
        raise LoadError(f"runtime openvino was asked for, but {left_out}")
    return on_openvino, left_out


class Loader:
    """Loads bundles, each accepted by its golden frames.

    With `auto`, the ways that there are take turns with a few members on noise of the first of `shapes`, and the fastest whose golden frames
    come out as the bundle's maker got them is taken. What was measured holds for all ensembles of the same networks.

    device, threads : as for `load_ensemble`
    tile_pixels : as for `LoadedEnsemble`
    races : what is known of such races already; what this one measures is added
    upgrade : a better way that is to take over while frames are answered, or why there is none; None where none is asked for
    """

    def __init__(
        self,
        device: Device = "auto",
        threads: int | None = None,
        runtime: Runtime = "auto",
        precision: Precision = "exact",
        shapes: Sequence[tuple[int, int]] = (),
        tile_pixels: int = TILE_PIXELS,
        races: Races | None = None,
        upgrade: Upgrade | str | None = None,
    ) -> None:
        self._device = device
        self._threads = threads
        self._runtime = runtime
        self._precision = precision
        self._shape = shapes[0] if shapes else _SHAPE
        self._shapes = shapes
        self._tile_pixels = tile_pixels
        self.races = Races() if races is None else races
        self._upgrade = upgrade

    def load(self, bundle: Bundle) -> LoadedEnsemble:
        """A bundle's ensemble, on its golden frames as good as it must be.

        Raises
        ------
        BundleError
            check `acceptance`: not even the exact answers are what the bundle's maker got.
        LoadError
            naming the member that can't be loaded, or what can't be had here.
        """
        ensemble = self._load(bundle)
        ensemble.tile_pixels = self._tile_pixels
        if isinstance(self._upgrade, str):
            ensemble.not_promoted = self._upgrade
        elif self._upgrade is not None and ensemble.device != self._upgrade.instead_of:
            ensemble.not_promoted = f"{self._upgrade} takes over from {self._upgrade.instead_of}, and the members run on {ensemble.device}"
        elif self._upgrade is not None:
            shapes = [padded(shape, bundle.card) for shape in self._shapes]
            ensemble.promotion = Promotion(self._upgrade, bundle, ensemble.members, [one for one in shapes if math.prod(one) <= self._tile_pixels])
        return ensemble

    def _load(self, bundle: Bundle) -> LoadedEnsemble:
        ways, left_out = ways_here(self._device, self._runtime, self._precision)
        tried = self._times(bundle, ways)
        problem: BundleError | LoadError | None = None
        for k, one in enumerate(tried):
            if one.complaint is not None:
                continue
            try:
                ensemble = _accepted(load_in(one.way, bundle, self._threads))
            except (BundleError, LoadError) as error:
                # The exact answer of the last way is the bundle's fault.
                problem = error
                tried[k] = replace(one, complaint=str(error))
                continue
            ensemble.choice = Choice(self._shape, tuple(tried), left_out)
            return ensemble
        raise problem or LoadError("; ".join(f"{one.way}: {one.complaint}" for one in tried))

    def _times(self, bundle: Bundle, ways: Sequence[Way]) -> list[Tried]:
        """The ways, the fastest first, those that can't run the members last."""
        tried = self.races.find(bundle, self._shape, ways)
        if tried is None:
            members = bundle.card.member_ids[: self._threads or processors()]
            tried = [Tried(way, None) for way in ways] if len(ways) == 1 else _race(ways, bundle, members, noise_of(self._shape, bundle.card))
            self.races.add(bundle, self._shape, tried)
        return sorted(tried, key=lambda one: np.inf if one.complaint is not None else one.ms or 0.0)


def _race(ways: Sequence[Way], bundle: Bundle, members: Sequence[str], noise: NDArray[np.float32]) -> list[Tried]:
    """Each way's time for these members at once; they take turns, so that a busy moment hits all alike."""
    running: dict[int, Members] = {}
    complaints: dict[int, str] = {}
    times: dict[int, list[float]] = {}
    for turn in range(-1, _ROUNDS):
        for k, way in enumerate(ways):
            try:
                if turn < 0:
                    running[k] = way.open({member: bundle.member_path(member) for member in members}, len(members))
                if k not in running:
                    continue
                start = time.perf_counter()
                running[k].run(noise, members)
                if turn >= 0:
                    times.setdefault(k, []).append(1000 * (time.perf_counter() - start))
            except (LoadError, MemberFailed, FrameRefused) as error:
                complaints[k] = str(error)
                times.pop(k, None)
                if k in running:
                    running.pop(k).close()
    for one in running.values():
        one.close()
    return [Tried(way, statistics.median(times[k]) if k in times else None, complaints.get(k)) for k, way in enumerate(ways)]


def _accepted(ensemble: LoadedEnsemble) -> LoadedEnsemble:
    try:
        accept(ensemble, tolerance_of(ensemble.way))
    except (BundleError, MemberFailed):
        ensemble.close()
        raise
    return ensemble
