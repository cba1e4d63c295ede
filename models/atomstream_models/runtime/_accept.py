"""Whether a bundle gives, on this machine, what its maker got."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..analysis import Answer, FrameRefused, Grid, MemberFailed, Prepared, finish, infer, prepare
from ..bundle import Bundle, BundleError
from ._ensemble import LoadedEnsemble, load_in
from ._onnxruntime import onnxruntime_way
from ._ways import Members, Way


@dataclass(frozen=True)
class Tolerance:
    """What a golden frame's answer may differ by.

    mean, std : largest difference of the maps anywhere, probability
    mean_mean, std_mean : the same on average over the maps
    atoms : difference of the numbers of atoms, a share
    few : so many atoms may differ however few there are: those whose probability is at the threshold fall on either side
    """

    mean: float
    std: float
    mean_mean: float
    std_mean: float
    atoms: float = 0.005
    few: int = 0


EXACT = Tolerance(mean=3e-3, std=3e-3, mean_mean=3e-3, std_mean=3e-3)
"""Of float32, which differs between machines in the last digits."""
FAST = Tolerance(mean=0.03, std=0.03, mean_mean=1e-3, std_mean=1e-3, few=1)
"""Of half as many bits: on average far below what the std maps tell, and nowhere more than an atom's edge moved by a twentieth of a pixel."""


@dataclass(frozen=True)
class GoldenMatch:
    """How far an answer to a golden frame is from what the bundle's maker got.

    file : the golden frame
    mean, std : largest difference of the maps, probability; std None where there is none in both
    mean_mean, std_mean : the same on average
    std_missing : whether only one of the two has a std map
    atoms, wanted : how many atoms were found here, and by the maker
    """

    file: str
    mean: float
    std: float | None
    mean_mean: float
    std_mean: float | None
    std_missing: bool
    atoms: int
    wanted: int

    def complaint(self, allowed: Tolerance) -> str | None:
        """What is further off than allowed, None where nothing is."""
        if not self.mean <= allowed.mean:
            return f"{self.file}: the mean map is off by {self.mean:.2g}, at most {allowed.mean:g} is allowed"
        if not self.mean_mean <= allowed.mean_mean:
            return f"{self.file}: the mean map is off by {self.mean_mean:.2g} on average, at most {allowed.mean_mean:g} is allowed"
        if self.std_missing:
            return f"{self.file}: one of the two answers has no std map"
        if self.std is not None and not self.std <= allowed.std:
            return f"{self.file}: the std map is off by {self.std:.2g}, at most {allowed.std:g} is allowed"
        if self.std_mean is not None and not self.std_mean <= allowed.std_mean:
            return f"{self.file}: the std map is off by {self.std_mean:.2g} on average, at most {allowed.std_mean:g} is allowed"
        if abs(self.atoms - self.wanted) > max(allowed.few, allowed.atoms * self.wanted):
            return f"{self.file}: {self.atoms} atoms found, the bundle's maker found {self.wanted}"
        return None


def golden_matches(ensemble: LoadedEnsemble) -> Iterator[GoldenMatch]:
    """Run the golden frames with all members, one after the other.

    Raises
    ------
    BundleError
        check `acceptance`, where a golden frame can't be answered.
    """
    for entry, golden in zip(ensemble.card.golden, ensemble.bundle.golden(), strict=True):
        size = golden.pixel_size_nm
        try:
            prepared = prepare(golden.frame, None if size is None else (size, size), ensemble.card)
            answer = finish(infer(prepared, ensemble.card, ensemble.card.member_ids, ensemble.answer), ensemble.card)
        except (FrameRefused, MemberFailed) as error:
            raise BundleError("acceptance", f"{entry.file} can't be answered: {error}") from error
        yield _match(entry.file, answer, golden.mean, golden.std, golden.atoms)


def _match(file: str, answer: Answer, wanted_mean: NDArray[np.float32], wanted_std: NDArray[np.float32] | None, wanted_atoms: int) -> GoldenMatch:
    mean = np.abs(answer.mean - wanted_mean)
    std = None if answer.std is None or wanted_std is None else np.abs(answer.std - wanted_std)
    return GoldenMatch(
        file=file,
        mean=float(mean.max()),
        std=None if std is None else float(std.max()),
        mean_mean=float(mean.mean()),
        std_mean=None if std is None else float(std.mean()),
        std_missing=(answer.std is None) != (wanted_std is None),
        atoms=len(answer.atoms),
        wanted=wanted_atoms,
    )


def accept(ensemble: LoadedEnsemble, tolerance: Tolerance = EXACT) -> None:
    """Run the golden frames with all members.

    Raises
    ------
    BundleError
        check `acceptance`, with the golden frame and the number that was off.
    """
    for match in golden_matches(ensemble):
        complaint = match.complaint(tolerance)
        if complaint is not None:
            raise BundleError("acceptance", complaint)


def agree_on(shape: tuple[int, int], bundle: Bundle, members: Members, way: Way) -> str | None:
    """What is wrong with members' answers to frames of one size; None where they are as good as in float32 on the CPU.

    What was compiled for one size says nothing about another one, so each golden frame is mirrored at its borders, or cut, until it has that size.
    """
    card = bundle.card
    reference = load_in(onnxruntime_way(), bundle, 1)
    try:
        for entry, golden in zip(card.golden, bundle.golden(), strict=True):
            size = golden.pixel_size_nm
            prepared = _brought_to(shape, prepare(golden.frame, None if size is None else (size, size), card))
            wanted = finish(infer(prepared, card, card.member_ids, reference.answer), card)
            answer = finish(infer(prepared, card, card.member_ids, members.run), card)
            complaint = _match(entry.file, answer, wanted.mean, wanted.std, len(wanted.atoms)).complaint(tolerance_of(way))
            if complaint is not None:
                return f"{complaint}, on {shape[0]}x{shape[1]} pixels"
        return None
    finally:
        reference.close()


def tolerance_of(way: Way) -> Tolerance:
    """What answers in this way may differ by from the exact ones."""
    return EXACT if way.bits == "float32" else FAST


def _brought_to(shape: tuple[int, int], prepared: Prepared) -> Prepared:
    if prepared.tensor is None:
        return prepared
    rows, columns = shape
    image = prepared.tensor[0, 0, : prepared.grid.shape[0], : prepared.grid.shape[1]]
    more = [(0, max(0, wanted - there)) for wanted, there in zip(shape, image.shape, strict=True)]
    image = np.ascontiguousarray(np.pad(image, more, "symmetric")[:rows, :columns])
    return Prepared(image[None, None], Grid(shape, shape), prepared.flags, np.zeros(rows, np.bool_))
