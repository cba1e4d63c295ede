"""One frame outside the stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..transport import Reply
from ._service import Service

_ANSWER_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Answered:
    """report : how the answer came about, as in results; arrays : name -> what was asked for."""

    report: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def answered(reply: Reply) -> Answered:
    """A command's reply, its buffers as arrays."""
    described = zip(reply.body["arrays"], reply.buffers, strict=True)
    arrays = {one["name"]: np.frombuffer(data, np.dtype(one["dtype"])).reshape(one["shape"]) for one, data in described}
    return Answered(reply.body["report"], arrays)


def infer_one(service: Service, image: NDArray[Any], pixel_size_nm: float | None, *, maps: bool) -> Answered:
    """A frame's atoms and, with `maps`, mean and std (left out with one member): what the stream would have answered.

    image : ndarray, shape (rows, columns), counts

    Raises
    ------
    CommandRefused
        for a frame that can't be analysed, or where too many wait.
    EngineUnavailable
        while the engine is away.
    """
    arguments = {
        "dtype": image.dtype.str,
        "shape": list(image.shape),
        "pixel_size_nm": None if pixel_size_nm is None else [pixel_size_nm, pixel_size_nm],
        "maps": maps,
        "timeout_s": _ANSWER_TIMEOUT_S,
    }
    return answered(service.call("infer", arguments, (image.tobytes(),), timeout_s=_ANSWER_TIMEOUT_S + 5))
