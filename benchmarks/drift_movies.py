"""The movies of the drift benchmark, each frame looked at once by every member and kept in a work folder.

Every movie of a seed begins with the same calm frames and then goes one way: on calmly, into a ramp, or to another scene. Members that are
poisoned answer in place of the healthy ones: with noise on their weights they are run, too; shifted or fogged maps are made from healthy ones.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from atomstream_models.analysis import prepare
from atomstream_models.bundle import Bundle, find_bundle, open_bundle
from atomstream_models.evaluation import Truth, truth_of
from atomstream_models.runtime import LoadedEnsemble, load_ensemble, look
from atomstream_models.simulation import Exposure, MicroscopeFrame, SimulatedMicroscope, scan

Maps = NDArray[np.float32]

SHAPE = (256, 256)
CALM = 400
ONSET = 150
"""Frames before something happens: a reference, and a while to judge by it."""
RAMP, HOLD = 120, 30
SCENE = 80
WIDENING_NM = 0.03
"""By how much the probe (0.04 nm) has widened at the end of the defocus ramp."""
DIM_FRAMES = 300
DIM = 1 / 80
"""Share of the mild dose at which the shipped ensemble begins to miss atoms."""
NOISED = ("m02", "m05", "m06")
"""Members that are poisoned; the first one alone where one is."""
NOISE_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Weight noise of the growing poison, as a share of each tensor's standard deviation, a step every ten frames; at once it is the last."""
STEP = 10


@dataclass(frozen=True)
class Movie:
    """One branch of one seed, as it lies in the work folder.

    images : ndarray, shape (frames, rows, columns), uint16
    maps : ndarray, shape (frames, members, classes, rows, columns), float16
    truths : what is really there, a frame each
    """

    images: NDArray[np.uint16]
    maps: NDArray[np.float16]
    truths: tuple[Truth, ...]

    def __len__(self) -> int:
        return len(self.images)


def graphene() -> Bundle:
    """The shipped ensemble."""
    return open_bundle(find_bundle("graphene", Path(tempfile.gettempdir())))


def _calm(seed: int) -> list[MicroscopeFrame]:
    microscope = SimulatedMicroscope(seed, SHAPE, mild=1 << 30)
    return [microscope.next_frame() for _ in range(CALM)]


def _dose(exposure: Exposure, severity: float) -> Exposure:
    return _dimmed(exposure, (1 / 400) ** severity)


def _dimmed(exposure: Exposure, share: float) -> Exposure:
    return replace(exposure, noise=replace(exposure.noise, counts_per_host=exposure.noise.counts_per_host * share))


def _defocus(exposure: Exposure, severity: float) -> Exposure:
    """The probe widens; what an atom scatters in all stays the same."""
    y, x = exposure.imaging.probe_nm
    wide = (y + WIDENING_NM * severity, x + WIDENING_NM * severity)
    specimen = replace(exposure.specimen, brightness=exposure.specimen.brightness * (y * x / (wide[0] * wide[1])))
    return replace(exposure, specimen=specimen, imaging=replace(exposure.imaging, probe_nm=wide))


def _distortion(exposure: Exposure, severity: float) -> Exposure:
    return replace(exposure, imaging=replace(exposure.imaging, line_jitter_px=exposure.imaging.line_jitter_px + 3.0 * severity))


RAMPS: dict[str, Callable[[Exposure, float], Exposure]] = {"dose": _dose, "defocus": _defocus, "distortion": _distortion}


def _ramp(seed: int, ramp: Callable[[Exposure, float], Exposure]) -> list[MicroscopeFrame]:
    rng = np.random.default_rng([seed, 1])
    exposures = [frame.exposure for frame in _calm(seed)[ONSET : ONSET + RAMP + HOLD]]
    return [scan(ramp(exposure, min(1.0, (k + 1) / RAMP)), rng) for k, exposure in enumerate(exposures)]


def _dim(seed: int) -> list[MicroscopeFrame]:
    rng = np.random.default_rng([seed, 2])
    return [scan(_dimmed(frame.exposure, DIM), rng) for frame in _calm(seed)[:DIM_FRAMES]]


def _scene(seed: int, microscope: SimulatedMicroscope) -> list[MicroscopeFrame]:
    """Another specimen under the calm conditions."""
    calm = _calm(seed)[0].exposure
    rng = np.random.default_rng([seed, 3])
    return [scan(replace(calm, specimen=microscope.next_frame().exposure.specimen), rng) for _ in range(SCENE)]


def _torn(seed: int) -> list[MicroscopeFrame]:
    return _scene(seed, SimulatedMicroscope(seed + 1000, SHAPE, mild=0, drift=1))


def _other_crystal(seed: int) -> list[MicroscopeFrame]:
    return _scene(seed, SimulatedMicroscope(seed + 1000, SHAPE, 0.0104, mild=1 << 30, material="mos2"))


BRANCHES: dict[str, Callable[[int], list[MicroscopeFrame]]] = {
    "calm": _calm,
    "dim": _dim,
    **{name: partial(_ramp, ramp=ramp) for name, ramp in RAMPS.items()},
    "torn": _torn,
    "crystal": _other_crystal,
}


def make(seed: int, work: Path) -> None:
    """Draw every branch of a seed and run all members on it, unless that was done before."""
    if all((work / str(seed) / name / "done").exists() for name in BRANCHES):
        return
    bundle = graphene()
    ensemble = load_ensemble(bundle)
    for name, draw in BRANCHES.items():
        folder = work / str(seed) / name
        if (folder / "done").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        frames = draw(seed)
        np.save(folder / "images.npy", np.stack([frame.image for frame in frames]))
        _save_truths(folder / "truth.npz", [truth_of(frame) for frame in frames])
        _save_maps(folder / "maps.npy", (inferred.maps for inferred in look(ensemble, [frame.image for frame in frames], frames[0].pixel_nm)), len(frames))
        if name in ("calm", "dim"):
            _run_noised(bundle, ensemble, frames[ONSET : ONSET + STEP * len(NOISE_LEVELS)], folder)
        (folder / "done").touch()
    ensemble.close()


def _save_maps(file: Path, answers: Iterator[tuple[Maps, ...]], frames: int) -> None:
    out: Any = None
    for k, maps in enumerate(answers):
        stack = np.stack(maps)
        if out is None:
            out = np.lib.format.open_memmap(file, "w+", np.float16, (frames, *stack.shape))
        out[k] = stack
    out.flush()


def _save_truths(file: Path, truths: Sequence[Truth]) -> None:
    sizes = np.array([len(truth.atoms_yx) for truth in truths])
    yx, required = np.concatenate([truth.atoms_yx for truth in truths]), np.concatenate([truth.required for truth in truths])
    np.savez(file, sizes=sizes, yx=yx, required=required, match_px=np.array([truth.match_px for truth in truths]))


def movie(work: Path, seed: int, name: str) -> Movie:
    """One branch as `make` left it."""
    folder = work / str(seed) / name
    held = np.load(folder / "truth.npz")
    ends = np.cumsum(held["sizes"])[:-1]
    parts = zip(np.split(held["yx"], ends), np.split(held["required"], ends), held["match_px"], strict=True)
    truths = tuple(Truth(yx, required, float(match_px)) for yx, required, match_px in parts)
    return Movie(np.load(folder / "images.npy"), np.load(folder / "maps.npy", mmap_mode="r"), truths)


def noised(work: Path, seed: int, name: str, growing: bool) -> NDArray[np.float16]:
    """What the members NOISED answered with noise on their weights, shape (frames from ONSET on, members, classes, rows, columns)."""
    out: NDArray[np.float16] = np.load(work / str(seed) / name / f"noised-{'growing' if growing else 'at-once'}.npy", mmap_mode="r")
    return out


def _run_noised(bundle: Bundle, ensemble: LoadedEnsemble, frames: Sequence[MicroscopeFrame], folder: Path) -> None:
    card = ensemble.card
    channels = list(card.atom_channels)
    size = (frames[0].pixel_nm, frames[0].pixel_nm)
    tensors = [prepare(frame.image, size, card).tensor for frame in frames]
    for kind, levels in (("growing", NOISE_LEVELS), ("at-once", NOISE_LEVELS[-1:] * len(NOISE_LEVELS))):
        out = np.empty((len(frames), len(NOISED), len(channels), *SHAPE), np.float16)
        for k, member in enumerate(NOISED):
            for step, level in enumerate(levels):
                session = _noised_session(bundle.member_path(member), level, k)
                for t in range(STEP * step, STEP * (step + 1)):
                    out[t, k] = session.run(["probability"], {"frame": tensors[t]})[0][0][channels, : SHAPE[0], : SHAPE[1]]
        np.save(folder / f"noised-{kind}.npy", out)


def _noised_session(file: Path, level: float, seed: int) -> Any:
    model = onnx.load(str(file))
    rng = np.random.default_rng(seed)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.ndim == 4:  # kernels; what else is stored tells shapes and scales
            noise = (level * weights.std() * rng.standard_normal(weights.shape)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(weights + noise, tensor.name))
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
