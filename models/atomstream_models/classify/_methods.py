"""Ways of dividing atoms into kinds; each answers labels that rise with brightness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cleaning import FramePatches
from ..errors import ExtraMissing, InputError

_DIMENSIONS = 8
_FITTED = 4000


def by_threshold(values: NDArray[np.floating], thresholds: float | Sequence[float]) -> NDArray[np.int64]:
    """Class of each value, shape (N,): how many of the thresholds it exceeds.

    values : ndarray, shape (N,)
    """
    cuts = np.sort(np.atleast_1d(np.asarray(thresholds, np.float64)))
    labels: NDArray[np.int64] = np.searchsorted(cuts, values, side="left").astype(np.int64)
    return labels


def by_gmm(values: NDArray[np.floating], classes: int = 2, *, seed: int = 0) -> NDArray[np.int64]:
    """Class of each value, shape (N,), by a one-dimensional mixture of Gaussians; classes in order of their means.

    The kinds share one variance: with one each, frames of different noise would be fitted before a rare kind is.

    values : ndarray, shape (N,)

    Raises
    ------
    InputError
        for fewer values than classes.
    ExtraMissing
        without scikit-learn.
    """
    _check(values, classes)
    try:
        from sklearn.mixture import GaussianMixture  # noqa: PLC0415
    except ImportError as error:
        raise ExtraMissing("scikit-learn", "train") from error
    x = np.asarray(values, np.float64)[:, None]
    if not np.ptp(x):
        return np.zeros(len(x), np.int64)
    return _by_brightness(GaussianMixture(classes, covariance_type="tied", random_state=seed, n_init=5).fit_predict(x / x.std()), x[:, 0])


def by_kmeans(values: NDArray[np.floating], classes: int = 2, *, seed: int = 0) -> NDArray[np.int64]:
    """Class of each value, shape (N,), by k-means; classes in order of their means.

    k-means prefers kinds of like size: a rare kind must be far from the rest to be found.

    values : ndarray, shape (N,)

    Raises
    ------
    InputError
        for fewer values than classes.
    ExtraMissing
        without scikit-learn.
    """
    _check(values, classes)
    try:
        from sklearn.cluster import KMeans  # noqa: PLC0415
    except ImportError as error:
        raise ExtraMissing("scikit-learn", "train") from error
    x = np.asarray(values, np.float64)[:, None]
    if len(np.unique(x)) < classes:
        return by_threshold(values, list(np.unique(x)[:-1] + np.diff(np.unique(x)) / 2))
    return _by_brightness(KMeans(classes, random_state=seed, n_init=10).fit_predict(x), x[:, 0])


def by_patches(
    frames: Sequence[NDArray[Any]], atoms: Sequence[NDArray[np.floating]], classes: int = 2, *, window_px: int = 24, seed: int = 0
) -> tuple[NDArray[np.int64], ...]:
    """Class of each atom of each frame by a Gaussian mixture over the patches around them; classes in order of brightness in the middle.

    Unlike intensities, patches tell sites of a lattice apart that are equally bright but differently surrounded. A kind of
    a few percent does not show in them; intensities find it.

    frames : arrays (rows, columns), finite
    atoms : for each frame an array (N, 2 or more) that begins with y, x in pixels
    window_px : side of a patch in pixels; about two distances between neighbours

    Raises
    ------
    InputError
        for fewer atoms than classes.
    ExtraMissing
        without scikit-learn.
    """
    try:
        from sklearn.decomposition import PCA  # noqa: PLC0415
        from sklearn.mixture import GaussianMixture  # noqa: PLC0415
    except ImportError as error:
        raise ExtraMissing("scikit-learn", "train") from error
    stack = np.concatenate([FramePatches(frame, window_px, level=True).at(yx[:, :2]) for frame, yx in zip(frames, atoms, strict=True)])
    _check(stack, classes)
    flat = stack.reshape(len(stack), -1)
    drawn = np.random.default_rng(seed).permutation(len(flat))[:_FITTED]
    if not np.ptp(flat, axis=0).any():
        return tuple(np.zeros(len(one), np.int64) for one in atoms)
    principal = PCA(min(_DIMENSIONS, len(drawn), flat.shape[1]), random_state=seed).fit(flat[drawn])
    numbers = principal.transform(flat)
    numbers = numbers / numbers[:, 0].std()
    mixture = GaussianMixture(classes, covariance_type="spherical", random_state=seed, n_init=5, reg_covar=1e-4).fit(numbers[drawn])
    side = stack.shape[1]
    middle = stack[:, side // 2 - 1 : side // 2 + 1, side // 2 - 1 : side // 2 + 1].mean(axis=(1, 2))
    labels = _by_brightness(mixture.predict(numbers), middle)
    return tuple(np.split(labels, np.cumsum([len(one) for one in atoms])[:-1]))


def _check(values: NDArray[np.floating], classes: int) -> None:
    if classes < 2:
        raise InputError(f"classes = {classes}: two are the least to tell apart")
    if len(values) < classes:
        raise InputError(f"{len(values)} atoms can't be divided into {classes} classes")


def _by_brightness(labels: NDArray[Any], brightness: NDArray[np.floating]) -> NDArray[np.int64]:
    present = np.unique(labels)
    order = present[np.argsort([float(brightness[labels == k].mean()) for k in present])]
    rank = np.empty(int(present.max()) + 1, np.int64)
    rank[order] = np.arange(len(order))
    return np.asarray(rank[labels])
