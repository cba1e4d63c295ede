"""Running a bundle's members, in the stager's process and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from atomstream_models.analysis import MemberFailed
from atomstream_models.bundle import Bundle, BundleError
from atomstream_models.runtime import EXACT, LoadedEnsemble, LoadError, golden_matches, load_ensemble, runtime_report

from ._memory import resident_bytes
from ._progress import Finding
from ._spec import Device

_SMALLEST_SIDE = 48
_SLACK = 1e-4
"""How far rounding may carry a probability beyond 0 and 1."""


class Trial:
    """A bundle whose files are in order, run under the stager's limits."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._ensemble: LoadedEnsemble
        self._before = resident_bytes()

    def load(self, device: Device, threads: int | None) -> Finding:
        """Make the sessions."""
        begun = time.perf_counter()
        try:
            self._ensemble = load_ensemble(self._bundle, device, threads)
        except LoadError as error:
            raise BundleError("load", str(error)) from error
        seconds = time.perf_counter() - begun
        found = self._ensemble.device
        about = {"device": found, "runtime": runtime_report().runtime, "memory_before_bytes": self._before}
        return Finding(f"{len(self._bundle.card.members)} sessions run on {found}", {"load_s": seconds}, about=about)

    def shapes(self) -> Finding:
        """Run noise of two shapes, odd multiples of `downsample`, the second with its sides the other way round."""
        step = self._bundle.card.downsample
        side = -(-_SMALLEST_SIDE // step) | 1
        first = (side * step, (side + 2) * step)
        shapes = (first, first[::-1])
        low, high = zip(*(self._range(shape) for shape in shapes), strict=True)
        detail = f"frames of {' and '.join(f'{rows} x {columns}' for rows, columns in shapes)} give finite probabilities of the same shapes"
        return Finding(detail, {"lowest": min(low), "highest": max(high), "rows": first[0], "columns": first[1]})

    def acceptance(self) -> Finding:
        """Compare the golden frames' answers with the maker's."""
        tolerance = EXACT
        matches = []
        for match in golden_matches(self._ensemble):
            if (complaint := match.complaint(tolerance)) is not None:
                raise BundleError("acceptance", complaint)
            matches.append(match)
        numbers = {"mean_off": max(match.mean for match in matches), "mean_allowed": tolerance.mean, "std_allowed": tolerance.std}
        stds = [match.std for match in matches if match.std is not None]
        numbers |= {"std_off": max(stds)} if stds else {}
        numbers |= {f"atoms_{k}": match.atoms for k, match in enumerate(matches)} | {f"atoms_{k}_wanted": match.wanted for k, match in enumerate(matches)}
        return Finding(f"{len(matches)} golden frames give what the bundle's maker got", numbers)

    def warm_up(self, shapes: Sequence[tuple[int, int]]) -> Finding:
        """Run the members at the service's sizes; a member's time is that of its second run, beside the others."""
        numbers: dict[str, float] = {}
        begun = time.perf_counter()
        for rows, columns in shapes:
            try:
                self._ensemble.warm((rows, columns))
            except MemberFailed as error:
                raise BundleError("warm_up", f"a frame of {rows} x {columns}: {error}") from error
            numbers |= {f"{member}_{rows}x{columns}_ms": ms for member, ms in self._ensemble.last_ms.items()}
        seconds = time.perf_counter() - begun
        after = resident_bytes()
        added = None if self._before is None or after is None else after - self._before
        memory = "" if added is None else f", and {added / 1e6:.0f} MB of memory with what the members weigh"
        self._ensemble.close()
        sizes = ", ".join(f"{rows} x {columns}" for rows, columns in shapes) or "no frame size"
        return Finding(
            f"warming up with {sizes} took {seconds:.2f} s{memory}",
            {"warm_up_s": seconds, **numbers},
            about={"memory_bytes": added, "memory_after_bytes": after},
        )

    def _range(self, shape: tuple[int, int]) -> tuple[float, float]:
        """Lowest and highest probability on noise of a shape."""
        noise = np.random.default_rng(0).standard_normal((1, 1, *shape), np.float32)
        low, high = np.inf, -np.inf
        for member in self._bundle.card.member_ids:
            try:
                (answer,) = self._ensemble.run(noise, [member])
            except MemberFailed as error:
                raise BundleError("shapes", f"a frame of {shape[0]} x {shape[1]}: {error}") from error
            wanted = (self._bundle.card.channels, *shape)
            if answer.shape != wanted or answer.dtype != np.float32:
                raise BundleError("shapes", f"member {member} answers a frame of {list(shape)} with {answer.dtype} {list(answer.shape)}, wanted {list(wanted)}")
            if not np.isfinite(answer).all():
                raise BundleError("shapes", f"member {member} answers a frame of {list(shape)} with values that are not finite")
            low, high = min(low, float(answer.min())), max(high, float(answer.max()))
            if low < -_SLACK or high > 1 + _SLACK:
                raise BundleError("shapes", f"member {member} answers from {low:.3g} to {high:.3g}, which are no probabilities")
        return low, high
