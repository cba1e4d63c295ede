"""From ONNX files to a bundle: golden frames, checks, its place on the disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...analysis import FrameRefused, MemberFailed, Prepared, finish, infer, prepare
from ...bundle import Bundle, Card, GoldenFrame, MemberSource, check_member, open_bundle, pack, write_bundle
from ...errors import InputError
from ...runtime import LoadedEnsemble, LoadError, load_ensemble
from ...simulation import SimulatedMicroscope

GOLDEN_PX = 192
_SIMULATED_NM = (0.004, 0.04)
"""Pixel sizes at which the simulated microscope's graphene is worth looking at."""

Check = Callable[[LoadedEnsemble, NDArray[np.float32]], None]
"""Looks at what the members answer to a normalised frame (1, 1, H, W); raises where it is wrong."""


def golden_frames(given: Sequence[NDArray[Any]], pixel_size_nm: tuple[float, float] | None) -> list[NDArray[Any]]:
    """Two frames to accept the bundle with: the first two given, or where none are, two of the simulated microscope.

    given : arrays (rows, columns)
    pixel_size_nm : range of pixel sizes that the members know

    Raises
    ------
    InputError
        for a single frame.
    """
    if len(given) == 1:
        raise InputError("1 golden frame was given, 2 are needed, so that a network that is stuck is seen")
    if given:
        return list(given[:2])
    low, high = pixel_size_nm or (0.0104, 0.0104)
    pixel_nm = float(np.clip(np.sqrt(low * high), *_SIMULATED_NM))
    microscope = SimulatedMicroscope(0, (GOLDEN_PX, GOLDEN_PX), pixel_nm)
    return [microscope.next_frame().image for _ in range(2)]


def make_bundle(out: Path, about: Mapping[str, Any], sources: Sequence[MemberSource], frames: Sequence[NDArray[Any]], check: Check) -> Card:
    """Write a bundle to `out`, a new folder, or a new file where the name ends in .atomstream. It is there whole, or not at all.

    frames : golden frames, arrays (rows, columns)

    Raises
    ------
    InputError
        for a place that is taken, a member that can't be loaded or answers with something that is not finite, and an unusable golden frame.
    BundleError
        where the card or a member would not be valid.
    """
    with _scratch(out) as folder:
        card = write_bundle(folder, about, sources)
        for member in card.members:
            check_member(folder / member.file, card)
        try:
            ensemble = load_ensemble(Bundle(folder, card, sha256=""), "cpu")
        except LoadError as error:
            raise InputError(str(error)) from error
        try:
            golden = [_golden(k, frame, ensemble, check) for k, frame in enumerate(frames)]
        finally:
            ensemble.close()
        card = write_bundle(folder, about, sources, golden)
        open_bundle(folder)
    return card


def _golden(number: int, frame: NDArray[Any], ensemble: LoadedEnsemble, check: Check) -> GoldenFrame:
    card = ensemble.card
    try:
        prepared = prepare(frame, None, card)
        check(ensemble, _tensor(prepared, number))
        answer = finish(infer(prepared, card, card.member_ids, ensemble.answer), card)
    except FrameRefused as error:
        raise InputError(f"golden frame {number}: {error}") from error
    except MemberFailed as error:
        raise InputError(f"golden frame {number} can't be answered: {error}") from error
    return GoldenFrame(frame, None, answer.mean, answer.std, len(answer.atoms))


def _tensor(prepared: Prepared, number: int) -> NDArray[np.float32]:
    if prepared.tensor is None:
        raise InputError(f"golden frame {number} is blank, so no member has to look at it; give frames that show something")
    return prepared.tensor


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A folder to make the bundle in, which comes to `out` in the end."""
    refuse_taken(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        folder = Path(scratch) / "bundle"
        yield folder
        if out.suffix == ".atomstream":
            pack(folder, Path(scratch) / "packed")
            folder = Path(scratch) / "packed"
        elif out.is_dir():
            out.rmdir()
        os.replace(folder, out)


def refuse_taken(out: Path) -> None:
    """Raises `InputError` where a bundle would overwrite something."""
    if out.exists() and not (out.suffix != ".atomstream" and out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out} is there already; name a new folder or a new .atomstream file")
