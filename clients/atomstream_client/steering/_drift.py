from __future__ import annotations

import math
from typing import TYPE_CHECKING, List, Optional, Tuple

import numpy as np

if TYPE_CHECKING:  # NumPy before 1.21 has no NDArray, and old instruments come with such a NumPy
    from numpy.typing import NDArray

_REACH = 0.4
"""How far from where it is expected an atom is looked for, as a share of the distance between neighbours; half of it would be another atom's."""
_FEWEST = 8
_SHARE = 0.6
_SPREAD = 0.2
"""Atoms that have to be found again, at least, and as a share of those that could be; how far apart their displacements may lie, in neighbour distances."""
_MOST = 1500
"""Atoms of a frame that are compared; a median needs no more."""
_FEWEST_RARE = 3
_SHARE_RARE = 0.5
_MOST_RARE = 100
"""Rare atoms that have to agree on a displacement, at least, and as a share; those compared at most."""
_SURPRISE = 3.0
"""Standard errors by which a prediction may be off without a reason."""
_FORGET = 0.7
"""What is left of an unsteadiness with the next frame."""


class DriftUnclear(Exception):
    """Two frames don't show the same atoms, so that how far they moved can't be told."""


class SpecimenDrift:
    """How far the specimen has moved, measured from its own atoms, and how far it will have.

    Between two frames the displacement is the median of that of all atoms found again, so that single atoms may move, vanish or be wrong.

    A lattice looks the same after a step of one spacing, and one that moves fast one way may seem to move slowly the other. Only what is rare in it can tell:
    where each frame shows at least three rare atoms, these say which way it went, and steps of up to `max_step_nm` are found. Without them, the motion may
    differ from what is expected (in the first step: none) by less than a third of the distance between neighbours; a greater step is refused, or mistaken for
    another one without anybody noticing.

    Ahead of the newest frame it goes on with the velocity of a straight line through the last frames (weighted least squares). How far these scatter about
    the line, and how much the velocity may change, say how long that can be trusted.

    neighbour_nm : distance between neighbouring atoms
    frames : how many of the last frames the velocity is from, at least 3
    error_nm : standard error of a displacement between two frames that is assumed at least
    unsteady_nm_s2 : by how much the velocity may change in a second, at least; more is allowed for a while where a frame shows that it did
    max_step_nm : how far from where it is expected the specimen may be in the next frame
    """

    def __init__(self, neighbour_nm: float, *, frames: int = 6, error_nm: float = 0.002, unsteady_nm_s2: float = 0.01, max_step_nm: float = 1.0) -> None:
        if not neighbour_nm > 0:
            raise ValueError("neighbour_nm = {!r} is not positive".format(neighbour_nm))
        if frames < 3:
            raise ValueError("frames = {!r}: a velocity and how far it can be trusted need at least 3".format(frames))
        self._neighbour_nm = neighbour_nm
        self._frames = frames
        self._error_nm = error_nm
        self._unsteady_nm_s2 = self._steadiest_nm_s2 = unsteady_nm_s2
        self._max_step_nm = max_step_nm
        self._times: List[float] = []
        self._moved: List[NDArray[np.float64]] = []
        self._before: Optional[Tuple[NDArray[np.float64], NDArray[np.float64]]] = None
        self._velocity = np.zeros(2)
        self._velocity_error = math.inf

    @property
    def velocity_nm_s(self) -> NDArray[np.float64]:
        """(y, x), over the last frames; zero before the second."""
        return self._velocity.copy()

    def add(self, t_s: float, places_nm: NDArray[np.float64], rare: Optional[NDArray[np.bool_]] = None) -> None:
        """Learn from a frame.

        t_s : when it was recorded, later than the one before; its middle is best
        places_nm : of its atoms, shape (N, 2), in axes that don't move with the scan
        rare : shape (N,), which of them are few among many and stay what they are, such as impurities

        Raises
        ------
        DriftUnclear
            and nothing is learnt.
        """
        places_nm = np.asarray(places_nm, np.float64).reshape(-1, 2)
        landmarks = places_nm[:0] if rare is None else places_nm[rare]
        moved = np.zeros(2)
        if self._before is not None:
            if not t_s > self._times[-1]:
                raise ValueError("a frame of t = {} s came after one of {} s".format(t_s, self._times[-1]))
            seconds = t_s - self._times[-1]
            step = self._step(self._velocity * seconds, places_nm, landmarks)
            self._learn_unsteadiness(step - self._velocity * seconds, seconds)
            moved = self._moved[-1] + step
        self._before = places_nm, landmarks
        self._times, self._moved = [*self._times, t_s][-self._frames :], [*self._moved, moved][-self._frames :]
        self._fit()

    def at(self, t_s: float) -> NDArray[np.float64]:
        """How far (y, x) the specimen has moved by a time, since the first frame, in nm: between frames in proportion, outside them with the velocity."""
        if not self._times:
            return np.zeros(2)
        times, moved = np.array(self._times), np.array(self._moved)
        inside = min(max(t_s, times[0]), times[-1])
        return np.asarray(np.array([np.interp(inside, times, one) for one in moved.T]) + self._velocity * (t_s - inside))

    def error_nm(self, t_s: float) -> float:
        """Standard error of a prediction; infinite before the third frame."""
        if len(self._times) < 3:
            return math.inf
        ahead = max(t_s - self._times[-1], 0.0)
        return float(np.sqrt(self._error_nm**2 + (self._velocity_error * ahead) ** 2 + self._bent_nm(np.array(ahead)) ** 2))

    def _step(self, expected: NDArray[np.float64], after: NDArray[np.float64], landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
        assert self._before is not None
        before, landmarks_before = self._before
        reach, middle = _REACH * self._neighbour_nm, after.mean(axis=0) if len(after) else np.zeros(2)
        if min(len(landmarks_before), len(landmarks)) >= _FEWEST_RARE:
            old, new = _nearest(landmarks_before + expected, middle, _MOST_RARE), _nearest(landmarks, middle, _MOST_RARE)
            expected = expected + _agreed(old, new, self._max_step_nm, reach)
        steps, possible = _found_again(_nearest(before + expected, middle, _MOST), _nearest(after, middle, _MOST), reach)
        if len(steps) < max(_FEWEST, _SHARE * possible):
            raise DriftUnclear("{} of {} atoms were found again".format(len(steps), possible))
        step = np.median(steps, axis=0)
        spread = float(np.median(np.hypot(*(steps - step).T)))
        if spread > _SPREAD * self._neighbour_nm:
            raise DriftUnclear("the atoms moved {:.3f} nm apart, the distance between neighbours is {:.3f} nm".format(spread, self._neighbour_nm))
        return np.asarray(step + expected)

    def _learn_unsteadiness(self, missed: NDArray[np.float64], seconds: float) -> None:
        """From how far a prediction was off that should not have been."""
        unexplained = 0.0
        if len(self._times) >= 3:
            unexplained = max(0.0, float(np.hypot(*missed)) - _SURPRISE * (self._error_nm + self._velocity_error * seconds))
        self._unsteady_nm_s2 = max(self._steadiest_nm_s2, 2 * unexplained / seconds**2, _FORGET * self._unsteady_nm_s2)

    def _fit(self) -> None:
        """A weighted straight line: frames count the less, the more the velocity may have changed since."""
        count = len(self._times)
        if count < 2:
            return
        times, moved = np.array(self._times), np.array(self._moved)
        weights = 1 / (self._error_nm**2 + self._bent_nm(times[-1] - times) ** 2)
        away = times - np.average(times, weights=weights)
        spread = float((weights * away**2).sum())
        middle = np.average(moved, axis=0, weights=weights)
        self._velocity = (weights * away) @ (moved - middle) / spread
        if count >= 3:
            off = moved - middle - away[:, None] * self._velocity
            scatter = math.sqrt(float((weights[:, None] * off**2).sum()) / (2 * (count - 2)))
            self._velocity_error = max(scatter, 1.0) / math.sqrt(spread)

    def _bent_nm(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far the motion may leave a straight line within a time."""
        return 0.5 * self._unsteady_nm_s2 * seconds**2


def _nearest(places: NDArray[np.float64], middle: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """The places around a point, so that those left out of two frames are the same."""
    return places if len(places) <= most else places[np.argsort(np.hypot(*(places - middle).T))[:most]]


def _agreed(before: NDArray[np.float64], after: NDArray[np.float64], max_step: float, reach: float) -> NDArray[np.float64]:
    """The displacement (2,) that most pairs of rare atoms agree on, of equals the smallest."""
    moves = (after[None] - before[:, None]).reshape(-1, 2)
    moves = moves[np.hypot(*moves.T) <= max_step]
    near = np.hypot(moves[:, None, 0] - moves[None, :, 0], moves[:, None, 1] - moves[None, :, 1]) <= reach
    votes = near.sum(axis=1)
    needed = max(_FEWEST_RARE, _SHARE_RARE * min(len(before), len(after)))
    if not len(votes) or votes.max() < needed:
        raise DriftUnclear("{} of {} rare atoms agree on a step".format(votes.max(initial=0), min(len(before), len(after))))
    best = np.flatnonzero(votes == votes.max())
    return np.asarray(np.median(moves[near[best[np.hypot(*moves[best].T).argmin()]]], axis=0))


def _found_again(before: NDArray[np.float64], after: NDArray[np.float64], reach: float) -> Tuple[NDArray[np.float64], int]:
    """Displacements (K, 2) of the atoms that are each other's nearest within reach, and how many lie where both frames show something."""
    if not len(before) or not len(after):
        return np.empty((0, 2)), max(len(before), len(after))
    low, high = np.maximum(before.min(axis=0), after.min(axis=0)) - reach, np.minimum(before.max(axis=0), after.max(axis=0)) + reach
    possible = min(int(((one >= low) & (one <= high)).all(axis=1).sum()) for one in (before, after))
    away = np.hypot(before[:, None, 0] - after[None, :, 0], before[:, None, 1] - after[None, :, 1])
    there, here = away.argmin(axis=1), away.argmin(axis=0)
    rows = np.flatnonzero((here[there] == np.arange(len(before))) & (away.min(axis=1) <= reach))
    return after[there[rows]] - before[rows], possible
